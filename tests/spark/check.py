"""A scan on a cluster against a scan of one process: the same bytes, whatever is killed.

Run by `cargo xtask test-spark`, which says where everything is.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

from pyspark.sql import SparkSession

import cluster as clusters
import definitions
import portcullis_spark
from portcullis_spark import _hadoop, _native, _scan
from portcullis_spark._tasks import Job

# How often a kill is tried that came too late or too early to force anything.
ATTEMPTS = 4

BUCKET = "logs"

# All checks, in their order.
CHECKS = (
    "definitions", "hostile_input", "task_counts", "listed_twice", "audit", "plan", "hadoop", "mistakes", "kills",
    "bucket", "skew", "submitted",
)

# Memory that docs/scale.md states for an executor of one core and 512 MiB of heap.
MOST_JVM_MIB = 1024
MOST_PYTHON_MIB = 1024


class SlowJob(Job):
    """The job with pauses, so that there is a moment to kill in. What it calls is the same."""

    def _open(self, name, content):
        time.sleep(0.05)
        return super()._open(name, content)

    def reduce(self, batches):
        def slowed():
            for batch in batches:
                time.sleep(0.5)
                yield batch

        time.sleep(1.5)
        yield from super().reduce(slowed())


class MistakenJob(Job):
    """A job in which the native module panics at one object, whoever tries it."""

    def _open(self, name, content):
        if name.endswith("7.gz"):
            _native.panic("a mistake at one object")
        return super()._open(name, content)


class Checks:
    def __init__(self, given):
        self.given = given
        self.cluster = clusters.Cluster(given.work, sys.executable)
        builder = SparkSession.builder.master(self.cluster.url).appName("portcullis")
        settings = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "2g" if given.long else "1g",
            "spark.driver.maxResultSize": "2g",
            "spark.executor.memory": "512m",
            "spark.executor.cores": "1",
            "spark.sql.shuffle.partitions": "6",
            "spark.ui.port": str(clusters.free_port()),
            "spark.ui.showConsoleProgress": "false",
            # A lost executor is asked for its files no longer than needed.
            "spark.shuffle.io.maxRetries": "1",
            "spark.shuffle.io.retryWait": "1s",
            "spark.task.maxFailures": "8",
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.spark = builder.getOrCreate()
        self.spark.sparkContext.setLogLevel("ERROR")
        self.expected = self.program("scan", given.objects, "--for-plan", "-o", "json", codes=(0, 3))

    def program(self, *words, codes=(0,), environment=None):
        ran = subprocess.run(
            [self.given.program, *words, "-q"],
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": self.given.work, **(environment or {})},
        )
        if ran.returncode not in codes:
            raise SystemExit(f"{words}: {ran.returncode}\n{ran.stderr.decode()}")
        return ran.stdout

    def same(self, what, document, expected=None):
        expected = self.expected if expected is None else expected
        if document != expected:
            place = os.path.join(self.given.work, "differs")
            for name, text in (("cluster.json", document), ("program.json", expected)):
                with open(f"{place}-{name}", "wb") as file:
                    file.write(text)
            raise SystemExit(f"{what}: differs, see {place}-*.json")
        print(f"ok: {what}: {len(document)} bytes are the same", flush=True)

    def scan(self, locations=None, **arguments):
        result = portcullis_spark.scan(self.spark, locations or self.given.objects, **arguments)
        try:
            return result.document()
        finally:
            result.unpersist()

    def definitions(self):
        root = os.path.join(os.path.dirname(self.given.job), "..", "..")
        definitions.check(os.path.join(root, "docs", "scale.md"))

    def hostile_input(self):
        """In a process of its own, of which it would be the end."""
        beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile.py")
        ran = subprocess.run(
            [sys.executable, beside], capture_output=True, env={**os.environ, "RUST_BACKTRACE": "0"}
        )
        if ran.returncode != 0:
            raise SystemExit(f"hostile input: {ran.returncode}\n{ran.stderr.decode()[-3000:]}")
        print(ran.stdout.decode().strip(), flush=True)

    def task_counts(self):
        for count in (1, 4, 24):
            self.same(f"{count} tasks", self.scan(tasks=count))
        self.same("with a key of its own", self.scan(hash_key=0x9E3779B97F4A7C15))

    def listed_twice(self):
        names = [row["object"] for row in json.loads(self.expected)["audit"]["objects"]]
        again = [self.given.objects, names[3], names[3]]
        self.same("an object listed twice", self.scan(again))

    def audit(self):
        audited = json.loads(self.expected)["audit"]["objects"]
        formats = {row.get("format") for row in audited}
        assert len(audited) >= 200 and len(formats) >= 3, (len(audited), formats)
        result = portcullis_spark.scan(self.spark, self.given.objects)
        rows = [
            {name: value for name, value in row.asDict().items() if value is not None}
            for row in result.coverage.orderBy("object").collect()
        ]
        assert rows == sorted(audited, key=lambda row: row["object"])
        broken = [row for row in rows if "incomplete" in row]
        assert len(broken) == 2, broken
        document = json.loads(result.document())
        assert document["coverage"]["duplicates"] > 0, "no record was delivered twice"
        offenders = [json.loads(row["document"]) for row in result.offenders.where("not set_aside").collect()]
        by_source = {offender["source"]: offender for offender in document["offenders"]}
        assert offenders and all(by_source[of["source"]] == of for of in offenders)
        rules = sum(len(offender["rules"]) for offender in offenders)
        assert result.findings.where("not set_aside").count() == rules
        self.refuses(result)
        result.unpersist()
        print(
            f"ok: {len(rows)} objects in {len(formats)} formats, {len(broken)} of them incomplete, "
            f"{len(offenders)} offenders, {rules} findings: rows are those of the document",
            flush=True,
        )

    def refuses(self, result):
        """What was lost or came twice is noticed, and so is a worker of another kind."""
        parts = [tuple(row) for row in result._parts.select("kind", "set_aside", "document").collect()]
        # The decision about sources with nothing found is in the coverage of its partition.
        lost = next(part for part in parts if part[0] == "coverage" and '"requests_of_sources":0' not in part[2])
        offender = next(part for part in parts if part[0] == "offender")
        audited = next(part for part in parts if part[0] == "audited")
        for words, changed in (
            ("by the sources", [part for part in parts if part is not lost]),
            ("found more than once", [*parts, offender]),
            ("not read once", [*parts, audited]),
            ("not read once", [part for part in parts if part is not audited]),
        ):
            whole = _native.Whole(True)
            whole.push(changed)
            try:
                whole.accept(result._listed)
            except ValueError as error:
                assert words in str(error), error
            else:
                raise SystemExit(f"a result was accepted that should be refused: {words}")
        settings = json.dumps({
            "rules": None, "crawler_ranges": [], "format": None, "trusted_proxies": [],
            "max_object_bytes": None, "set_aside": True, "hash_key": 7,
        })
        try:
            _native.Map(settings, _native.digest(settings).replace("rules ", "rules f"))
        except ValueError as error:
            assert "install the same portcullis_spark everywhere" in str(error), error
        else:
            raise SystemExit("a worker with other rules was accepted")

    def plan(self):
        """What a cluster keeps as JSON and as Parquet is planned on as the objects are."""
        result = portcullis_spark.scan(self.spark, self.given.objects)
        words = ("--at", "2026-03-02T12:00:00Z", "-o", "json")
        here = self.program("plan", self.given.objects, *words, codes=(0, 3))
        for name in ("findings.json", "findings.parquet"):
            file = os.path.join(self.given.work, name)
            result.save(file)
            there = self.program("plan", "--findings", file, *words, codes=(0, 3))
            self.same(f"the plan on the cluster's {name}", there, here)
        self.refused_parquet(result, file)
        result.unpersist()

    def refused_parquet(self, result, file):
        """Rows that do not add up are refused by the program as JSON is."""
        import pyarrow.parquet as parquet

        table = parquet.read_table(file)
        kinds = table.column("kind").to_pylist()
        offender, audited = kinds.index("offender"), kinds.index("audited")
        rows = list(range(table.num_rows))
        for words, kept in (
            ("found more than once", [*rows, offender]),
            ("objects were listed", [row for row in rows if row != audited]),
            ("expected one", rows[1:]),
        ):
            parquet.write_table(table.take(kept), f"{file}.refused")
            ran = subprocess.run(
                [self.given.program, "plan", "--findings", f"{file}.refused", "-q"], capture_output=True
            )
            assert ran.returncode != 0 and words.encode() in ran.stderr, (words, ran.stderr)
        not_for_plan = portcullis_spark.scan(self.spark, self.given.objects, for_plan=False)
        try:
            not_for_plan.save(f"{file}.never.parquet")
        except ValueError as error:
            assert "none may stand on findings without for_plan" in str(error), error
        else:
            raise SystemExit("rows were kept that no plan may stand on")
        not_for_plan.unpersist()
        print("ok: rows that do not add up are refused", flush=True)

    def hadoop(self):
        """The same objects, listed, read and written by Hadoop's file systems."""
        uri = f"file:{self.given.objects}"
        # Names are as Hadoop has them, and stand in evidence, coverage and audit.
        expected = self.expected.replace(self.given.objects.encode(), uri.encode())
        out = os.path.join(self.given.work, "hadoop.json")
        # As credentials are given to a session; and nothing is set in the caller's.
        self.spark.conf.set("fs.example.credentials", "example")
        before = self.spark.conf.get("spark.sql.files.maxPartitionBytes")
        files = _hadoop.Files(self.spark, [uri]).objects([], {})
        assert files.sparkSession.conf.get("fs.example.credentials") == "example"
        result = portcullis_spark.scan(self.spark, uri)
        assert self.spark.conf.get("spark.sql.files.maxPartitionBytes") == before
        result.save(f"file:{out}")
        result.unpersist()
        with open(out, "rb") as file:
            self.same("objects of Hadoop's file systems", file.read(), expected)
        for places, words in (
            ([uri, self.given.objects], "all, or none is"),
            (f"file:{self.given.work}/nowhere", "PATH_NOT_FOUND"),
            ("nowhere://a/b", "nowhere"),
        ):
            try:
                portcullis_spark.scan(self.spark, places)
            except Exception as error:
                assert words in str(error), error
            else:
                raise SystemExit(f"{places} were read")

    def mistakes(self):
        """A panic in the module fails its task, and so the job, with words; the executors go
        on, and the next job is as good as any."""
        before = {pid for _, pid in self.cluster.executors()}
        assert before
        _scan.Job = MistakenJob
        try:
            self.scan(keep_duplicates=True)
        except Exception as error:
            text = str(error)
            assert "portcullis panicked on purpose: a mistake at one object" in text, text
            assert "RuntimeError" in text, text
        else:
            raise SystemExit("a job succeeded in which the module panicked")
        finally:
            _scan.Job = Job
        self.same("a scan after a panic", self.scan())
        assert before == {pid for _, pid in self.cluster.executors()}, "an executor was lost"

    def submitted(self):
        """The job as spark-submit runs it, by a configuration file."""
        beside = os.path.join(self.given.work, "configured")
        # A rule's id is its path.
        rule = os.path.join(beside, "rules", *self.given.rule.split(os.sep)[-2:])
        os.makedirs(os.path.dirname(rule), exist_ok=True)
        shutil.copy(self.given.rule, rule)
        config = os.path.join(beside, "portcullis.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                'never-block = []\n[scan]\nrules = "rules"\ntrusted-proxies = ["198.18.0.0/24"]\n'
                'max-object-bytes = 40000\ncrawler-ranges = { Googlebot = "googlebot.json" }\n'
            )
        with open(os.path.join(beside, "googlebot.json"), "w", encoding="utf-8") as file:
            json.dump({"prefixes": [{"ipv4Prefix": "198.51.100.0/24"}]}, file)
        out = os.path.join(beside, "findings.json")
        submit = os.path.join(os.path.dirname(sys.executable), "spark-submit")
        ran = subprocess.run(
            [submit, "--master", "local[2]", "--conf", "spark.ui.enabled=false", self.given.job,
             "--config", config, "--out", out, self.given.objects],
            capture_output=True,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        )
        assert ran.returncode == 0, ran.stderr.decode()[-3000:]
        # spark-submit passes all that Python says on as its stdout.
        assert b"not used on Spark: never-block" in ran.stdout, ran.stdout
        words = ("scan", self.given.objects, "--for-plan", "-o", "json", "--config", config)
        with open(out, "rb") as file:
            self.same("spark-submit with a configuration", file.read(), self.program(*words, codes=(0, 3)))
        with open(config, "a", encoding="utf-8") as file:
            file.write('crawler-domains = { Bingbot = ["search.msn.com"] }\n')
        words = (sys.executable, "-m", "portcullis_spark", "--config", config, "--out", out, "nowhere")
        refused = subprocess.run(words, capture_output=True)
        assert refused.returncode == 2 and b"tasks ask no DNS" in refused.stderr, refused.stderr
        print("ok: domains of crawlers are refused", flush=True)

    def bucket(self):
        """The same objects, read from a bucket."""
        import boto3

        port = clusters.free_port()
        url = f"http://127.0.0.1:{port}"
        server = subprocess.Popen(
            [self.given.moto, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
            options = {
                "endpoint_url": url, "region_name": "eu-west-1",
                "aws_access_key_id": "test", "aws_secret_access_key": "test",
            }
            s3 = boto3.client("s3", **options)

            def listens():
                try:
                    return s3.list_buckets() is not None
                except Exception:
                    return False

            clusters.wait_for("moto", listens)
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            for folder, _, names in os.walk(self.given.objects):
                for name in names[:20]:
                    path = os.path.join(folder, name)
                    s3.upload_file(path, BUCKET, "day/" + os.path.relpath(path, self.given.objects))
            place = f"s3://{BUCKET}/day/"
            words = ("scan", place, "--for-plan", "-o", "json", "--endpoint-url", url, "--region", "eu-west-1")
            expected = self.program(*words, codes=(0, 3), environment=keys)
            self.same("objects of a bucket", self.scan(place, s3_options=options), expected)
        finally:
            server.kill()
            server.wait()

    def killed(self, what, phase, strike):
        """A scan during which something is killed. The run is void unless something died and
        Spark had to compute again."""
        _scan.Job = SlowJob
        try:
            for attempt in range(1, ATTEMPTS + 1):
                self.cluster.wait_for_workers()
                clusters.wait_for("two executors", lambda: len(self.cluster.executors()) >= 2)
                before = max(self.stages(), default=(-1,))[0]
                died = []
                striker = threading.Thread(target=self.strike, args=(before, phase, strike, died))
                striker.start()
                document = self.scan(keep_duplicates=True, tasks=8)
                striker.join()
                again = self.computed_again(before)
                self.same(f"{what} killed while it {phase}s", document, self.kept)
                if died == [True] and again:
                    print(f"    attempt {attempt}: it died, and {again}", flush=True)
                    return
                print(f"    attempt {attempt} is void: died {died}, computed again: {again}", flush=True)
            raise SystemExit(f"{what}, {phase}: {ATTEMPTS} void runs, nothing is shown")
        finally:
            _scan.Job = Job

    def strike(self, before, phase, strike, died):
        """Waits for the phase, and for one task of it to be done or some time, then kills."""
        tracker = self.spark.sparkContext.statusTracker()
        first = None
        begun = time.monotonic()
        while time.monotonic() - begun < 120:
            active = [stage for stage in tracker.getActiveStageIds() if stage > before]
            first = min(active) if active and first is None else first
            for stage in active:
                info = tracker.getStageInfo(stage)
                if info is None or info.numActiveTasks == 0:
                    continue
                if (phase == "map") == (stage == first) and info.numCompletedTasks >= 1:
                    died.append(strike())
                    return
            time.sleep(0.05)

    def stages(self):
        """Every attempt at a stage: its number, the attempt, failed tasks."""
        context = self.spark.sparkContext
        url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [
                (stage["stageId"], stage["attemptId"], stage["numFailedTasks"] + stage["numKilledTasks"])
                for stage in json.load(answer)
            ]

    def computed_again(self, before):
        mine = [stage for stage in self.stages() if stage[0] > before]
        attempts = sum(1 for _, attempt, _ in mine if attempt > 0)
        failed = sum(failed for _, _, failed in mine)
        return f"{failed} tasks failed, {attempts} stages were tried again" if attempts or failed else ""

    def kills(self):
        words = ("scan", self.given.objects, "--for-plan", "--keep-duplicates", "-o", "json")
        self.kept = self.program(*words, codes=(0, 3))
        self.killed("a worker", "map", self.cluster.kill_worker)
        self.killed("a worker", "reduce", self.cluster.kill_worker)
        self.killed("a Python worker", "map", self.cluster.kill_python)

    def skew(self):
        """One source with half of all requests, and very many others, in stated memory."""
        words = ("scan", self.given.skewed, "--for-plan", "-o", "json", "--memory", "16G")
        expected = self.program(*words)
        sources = expected.partition(b'"traffic":')[2].count(b'"good_requests"')
        with clusters.Memory(self.cluster) as memory:
            document = self.scan(self.given.skewed, tasks=8, task_bytes=32 << 20)
        self.same(f"{sources} sources, one of them with half of the requests", document, expected)
        jvm, python = memory.jvm >> 20, memory.python >> 20
        print(f"    an executor took at most {jvm} MiB, its Python workers {python} MiB", flush=True)
        assert memory.samples >= 10, memory.samples
        assert jvm <= MOST_JVM_MIB and python <= MOST_PYTHON_MIB, (jvm, python)

    def run(self):
        for check in CHECKS:
            if not self.given.only or check in self.given.only:
                begun = time.monotonic()
                getattr(self, check)()
                print(f"    {check}: {time.monotonic() - begun:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "objects", "work", "moto", "job", "rule"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--skewed", required=True)
    parser.add_argument("--only", action="append", choices=CHECKS, help="run only these")
    parser.add_argument("--long", action="store_true", help="there are millions of sources")
    checks = Checks(parser.parse_args())
    try:
        checks.run()
    finally:
        checks.spark.stop()
        checks.cluster.stop()


main()
