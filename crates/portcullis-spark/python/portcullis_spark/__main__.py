"""``spark-submit`` takes ``portcullis_job.py``, which is this: a scan by a configuration file.

    spark-submit portcullis_job.py --config portcullis.toml --out s3://b/findings.json LOCATION…

Of the file, ``[scan]`` is used: ``rules`` (a directory), ``format``, ``trusted-proxies``,
``max-object-bytes`` and ``crawler-ranges``. Everything else is about AWS WAF, runs and
reports; it is for the program, and named on stderr so that nobody waits for its effect.

``crawler-domains`` are refused: tasks ask no DNS, and a real crawler that nobody vouches for
would be judged by rates as anybody is. ``--without-crawler-domains`` accepts that.
"""

import argparse
import os
import sys

_USED = ("rules", "format", "trusted-proxies", "max-object-bytes", "crawler-ranges")


def _toml(path):
    try:
        import tomllib
    except ImportError:  # Python before 3.11
        import tomli as tomllib
    with open(path, "rb") as file:
        return tomllib.load(file)


def _text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _rule_files(directory):
    files = []
    for folder, folders, names in os.walk(directory):
        folders.sort()
        files += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".toml")]
    if not files:
        raise ValueError(f"{directory} holds no .toml file")
    return [(path, _text(path)) for path in files]


def settings(path):
    """Arguments for ``scan`` of a configuration file, and the keys that are not used."""
    whole = _toml(path)
    given = whole.pop("scan", {})
    unused = sorted(whole) + sorted(f"scan.{key}" for key in given if key not in _USED)
    # Paths in the file are meant from where it is.
    beside = os.path.dirname(os.path.abspath(path))
    arguments = {
        "format": given.get("format"),
        "trusted_proxies": given.get("trusted-proxies", []),
        "max_object_bytes": given.get("max-object-bytes"),
        "crawler_ranges": [
            (name, _text(os.path.join(beside, file)))
            for name, file in sorted(given.get("crawler-ranges", {}).items())
        ],
    }
    if arguments["format"] and arguments["format"].startswith("@"):
        arguments["format"] = _text(os.path.join(beside, arguments["format"][1:]))
    if "rules" in given:
        arguments["rules"] = _rule_files(os.path.join(beside, given["rules"]))
    return arguments, unused


def parser():
    """What the job takes."""
    parser = argparse.ArgumentParser(description="Look for offenders on Apache Spark.")
    parser.add_argument("locations", nargs="+", metavar="LOCATION")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="a file, s3://BUCKET/KEY or a URI of Hadoop's; Parquet when it ends in .parquet",
    )
    parser.add_argument("--config", metavar="FILE", help="the program's portcullis.toml")
    parser.add_argument("--tasks", type=int, metavar="N")
    parser.add_argument("--keep-duplicates", action="store_true")
    parser.add_argument(
        "--without-crawler-domains",
        action="store_true",
        help="accept that real crawlers are judged as anybody is when only DNS knows them",
    )
    parser.add_argument("--region", metavar="REGION")
    parser.add_argument("--endpoint-url", metavar="URL")
    return parser


def main(words=None):
    given = parser().parse_args(words)
    arguments, unused = settings(given.config) if given.config else ({}, [])
    if "scan.crawler-domains" in unused and not given.without_crawler_domains:
        parser().error(
            f"{given.config}: crawler-domains: tasks ask no DNS, so real crawlers would be judged "
            "as anybody is; give crawler-ranges instead, or --without-crawler-domains"
        )
    if unused:
        print(f"note: not used on Spark: {', '.join(unused)}", file=sys.stderr)
    s3 = {"region_name": given.region, "endpoint_url": given.endpoint_url}
    s3 = {name: value for name, value in s3.items() if value}

    from pyspark.sql import SparkSession

    from portcullis_spark import scan

    spark = SparkSession.builder.appName("portcullis").getOrCreate()
    result = scan(
        spark,
        given.locations,
        tasks=given.tasks,
        keep_duplicates=given.keep_duplicates,
        s3_options=s3,
        **arguments,
    )
    result.save(given.out, s3)
    spark.stop()


if __name__ == "__main__":
    main()
