"""A scan as a job of Spark: read, bring together by key, decide.

Spark moves and retries; what is found is the native module's. Whatever is lost on the way,
Spark computes again, and a task that runs twice gives the same bytes. What comes back is
held against the listing before anybody may act on it.
"""

import json

from . import _hadoop, _native
from ._objects import list_objects, write_object
from ._tasks import Job, find_twins

# What reading an object costs besides its bytes, as bytes: opening it, a round trip or two.
_OBJECT_BYTES = 256 << 10

# Stored bytes for one task, of gzip about ten times as much text.
_TASK_STORED_BYTES = 256 << 20

# Bytes of states that a task keeps before it hands them over.
_TASK_KEPT_BYTES = 128 << 20

# Parts that identities are dealt out to: with 64, a task's share of one is 2 MiB at most,
# and their keys have two bytes.
_LEAST_PARTS = 64
_MOST_PARTS = (1 << 16) - 1

_OBJECTS = "number int, name string, left_out array<int>"
_ROWS = "key binary, state binary"
_PARTS = "kind string, set_aside boolean, document string"
_TWINS = "object int, place int"

_OFFENDER = (
    "source string, score int, severity string, confidence string, categories array<string>, "
    "rules array<string>, requests bigint, flagged_requests bigint, good_requests bigint, "
    "principals bigint, first timestamp, last timestamp"
)
_DETECTION = (
    "rule string, title string, category string, severity string, confidence string, "
    "points int, requests bigint, first timestamp, last timestamp"
)
_COVERAGE = (
    "object string, format string, records bigint, requests bigint, rejects bigint, "
    "duplicates bigint, outside_span bigint, text_bytes bigint, incomplete string"
)


def scan(
    spark,
    locations,
    format=None,
    rules=None,
    *,
    for_plan=True,
    crawler_ranges=(),
    trusted_proxies=(),
    max_object_bytes=None,
    keep_duplicates=False,
    tasks=None,
    task_bytes=_TASK_KEPT_BYTES,
    s3_options=None,
    hash_key=None,
):
    """Looks for offenders in all objects of the locations, and gives a :class:`Result`.

    ``locations``
        A path or ``s3://bucket/prefix``, or a list of them. Paths must be the same files on
        the driver and on every executor. Or URIs of Hadoop's file systems, as ``hdfs://…``,
        ``abfss://…`` or ``file:/…``, and nothing else beside them.
    ``format``
        A preset's name or an API Gateway template; each object's is detected without it.
    ``rules``
        Rule files as pairs of name and text; the built-in rules without it.
    ``for_plan``
        Set aside what is read of incomplete objects, and tell what all sources did well: what
        ``portcullis scan --for-plan`` gives, and what ``plan --findings`` takes.
    ``crawler_ranges``
        Pairs of a crawler's name and the JSON of its published ranges.
    ``keep_duplicates``
        Count a record each time it was delivered. Telling twins apart reads all objects once
        more, without looking for anything.
    ``tasks``
        Tasks of each step; without it, by the size of the objects and the cluster's cores.
        Objects of Hadoop's file systems are dealt out by Spark.
    ``task_bytes``
        Bytes of states that a task keeps. A Python worker takes about four times as much.
    ``s3_options``
        Arguments for ``boto3.client("s3")``; credentials are found where boto3 finds them.
    ``hash_key``
        A number of 64 bits that nobody else knows, by which paths are told apart, so that
        nobody can make up paths that count as one. What is forgotten of a source with
        hundreds of thousands of paths then differs from what the program forgets.
    """
    locations = [locations] if isinstance(locations, str) else list(locations)
    s3_options = dict(s3_options or {})
    settings = json.dumps(
        {
            "rules": None if rules is None else [list(file) for file in rules],
            "crawler_ranges": [list(of) for of in crawler_ranges],
            "format": format,
            "trusted_proxies": list(trusted_proxies),
            "max_object_bytes": max_object_bytes,
            "set_aside": for_plan,
            "hash_key": hash_key,
        },
        sort_keys=True,
    )
    digest = _native.digest(settings)
    files = _files(spark, locations)
    listed = files.listed() if files else list_objects(locations, s3_options)
    if not listed:
        raise ValueError(f"{', '.join(locations)}: no object to read")
    tasks = tasks or _tasks(spark, listed)
    parts = min(max(tasks, _LEAST_PARTS), _MOST_PARTS)
    job = Job(settings, digest, s3_options, task_bytes, parts)

    def objects(left_out):
        if files:
            return files.objects(listed, left_out)
        return _objects(spark, listed, tasks, left_out)

    left_out = {} if keep_duplicates else _twins(spark, job, objects, tasks)
    spark.sparkContext.setJobDescription(f"portcullis: {len(listed)} objects")
    rows = objects(left_out).mapInArrow(job.map, _ROWS)
    by_key = rows.repartition(tasks, "key").sortWithinPartitions("key")
    return Result(by_key.mapInArrow(job.reduce, _PARTS), [name for name, _ in listed], for_plan)


def _files(spark, locations):
    uris = [location for location in locations if _hadoop.is_uri(location)]
    if uris and len(uris) < len(locations):
        raise ValueError(f"{uris[0]}: locations are of Hadoop's file systems all, or none is")
    return _hadoop.Files(spark, uris) if uris else None


def _tasks(spark, listed):
    stored = sum(size + _OBJECT_BYTES for _, size in listed)
    cores = spark.sparkContext.defaultParallelism
    return max(min(4 * cores, len(listed)), stored // _TASK_STORED_BYTES, 1)


def _objects(spark, listed, tasks, left_out):
    """The objects, dealt out so that tasks have about as much to read each."""
    deal = sorted(range(len(listed)), key=lambda number: (-listed[number][1], number))
    # Back and forth: who got the largest of one round gets the smallest of the next.
    slots = [[] for _ in range(min(tasks, len(listed)))]
    for place, number in enumerate(deal):
        turn, slot = divmod(place, len(slots))
        slot = slot if turn % 2 == 0 else len(slots) - 1 - slot
        slots[slot].append((number, listed[number][0], left_out.get(number)))
    dealt = spark.sparkContext.parallelize(slots, len(slots)).flatMap(lambda slot: slot)
    return spark.createDataFrame(dealt, _OBJECTS)


def _twins(spark, job, objects, tasks):
    """Places of the records that are of a request which an earlier record told of."""
    spark.sparkContext.setJobDescription("portcullis: records that were delivered twice")
    identities = objects({}).mapInArrow(job.identities, _ROWS)
    by_part = identities.repartition(tasks, "key").sortWithinPartitions("key")
    left_out = {}
    for row in by_part.mapInArrow(find_twins, _TWINS).collect():
        left_out.setdefault(row["object"], []).append(row["place"])
    for places in left_out.values():
        places.sort()
    return left_out


class Result:
    """What a scan found, still on the cluster until it is asked for."""

    def __init__(self, parts, listed, for_plan):
        self._parts = parts.persist()
        self._listed = listed
        self._for_plan = for_plan
        self._whole = None

    @property
    def offenders(self):
        """Sources to act on, one a row; ``document`` is the offender as the JSON has it."""
        return self._of("offender", _OFFENDER)

    @property
    def watched(self):
        """Sources that are watched, in the same shape."""
        return self._of("watched", _OFFENDER)

    @property
    def findings(self):
        """One row for each offender and rule."""
        from pyspark.sql import functions as F

        nested = f"source string, detections array<struct<{_typed(_DETECTION)}>>"
        rows = self._of("offender", nested).select(
            "source", "set_aside", F.explode("detections").alias("detection")
        )
        return rows.select("source", "detection.*", "set_aside")

    @property
    def coverage(self):
        """What became of each object, one a row; ``incomplete`` says why one is."""
        return self._of("audited", _COVERAGE).drop("set_aside", "document")

    def document(self):
        """The findings as the program prints them, in bytes. They are refused, with a
        ``ValueError`` that names what differs, unless every listed object was read once and
        the sums over objects and over sources agree."""
        return self._accepted().document()

    def save(self, place, s3_options=None):
        """Writes the findings, when they are accepted as for ``document``, to a file, to
        ``s3://bucket/key``, or to a URI of Hadoop's file systems: as Parquet when the name
        ends so, as JSON else. ``plan --findings`` takes both."""
        content = self._parquet() if place.endswith(".parquet") else self.document()
        if place.startswith("s3://"):
            write_object(place, content, dict(s3_options or {}))
        elif _hadoop.is_uri(place):
            _hadoop.write_file(self._parts.sparkSession, place, content)
        else:
            with open(place, "wb") as file:
                file.write(content)

    def _accepted(self):
        if self._whole is None:
            whole = _native.Whole(self._for_plan)
            # All tasks at once, and then what they found task by task: of millions of sources
            # the driver holds the native module's few bytes each, and not Python's.
            self._parts.count()
            some = []
            for row in self._parts.toLocalIterator():
                some.append(tuple(row))
                if len(some) == 1_000:
                    whole.push(some)
                    some = []
            whole.push(some)
            whole.accept(self._listed)
            self._whole = whole
        return self._whole

    def _parquet(self):
        import pyarrow as pa
        import pyarrow.parquet as parquet

        kinds, documents = self._accepted().rows()
        out = pa.BufferOutputStream()
        parquet.write_table(pa.table({"kind": kinds, "document": documents}), out)
        return out.getvalue().to_pybytes()

    def unpersist(self):
        """Lets go of what the cluster keeps."""
        self._parts.unpersist()

    def _of(self, kind, schema):
        from pyspark.sql import functions as F

        of = self._parts.where(F.col("kind") == kind)
        read = of.select(F.from_json("document", schema).alias("of"), "set_aside", "document")
        return read.select("of.*", "set_aside", "document")


def _typed(schema):
    return ", ".join(": ".join(column.split(" ", 1)) for column in schema.split(", "))
