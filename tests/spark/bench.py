"""Times a scan through the module alone and in Spark, one run for each line on stdin.

`cargo xtask bench spark` asks, in turn with the program and gunzip, so that a machine that
slows down slows all of them.
"""

import json
import os
import sys
import time

import pyarrow as pa
from pyspark.sql import SparkSession

import portcullis_spark
from cluster import children_of
from portcullis_spark import _native
from portcullis_spark._objects import list_objects
from portcullis_spark._scan import _LEAST_PARTS, _TASK_KEPT_BYTES
from portcullis_spark._tasks import Job, find_twins


def module(listed):
    """Both tasks and what puts their parts together, in this process, without Spark."""
    settings = json.dumps({
        "rules": None, "crawler_ranges": [], "format": None, "trusted_proxies": [],
        "max_object_bytes": None, "set_aside": True, "hash_key": 7,
    })
    job = Job(settings, _native.digest(settings), {}, _TASK_KEPT_BYTES, _LEAST_PARTS)
    names = [name for name, _ in listed]
    numbered = pa.RecordBatch.from_pydict({"number": range(len(names)), "name": names})
    found = pa.Table.from_batches(job.identities([numbered])).sort_by("key")
    left_out = [[] for _ in names]
    for batch in find_twins(found.to_batches()):
        for number, place in zip(*(column.to_pylist() for column in batch.columns)):
            left_out[number].append(place)
    objects = pa.RecordBatch.from_pydict(
        {"name": names, "left_out": pa.array(map(sorted, left_out), pa.list_(pa.int32()))}
    )
    rows = pa.Table.from_batches(job.map([objects])).sort_by("key")
    whole = _native.Whole(True)
    for batch in job.reduce(rows.to_batches()):
        whole.push(list(zip(*(column.to_pylist() for column in batch.columns))))
    whole.accept(names)
    return whole.document()


def processor_seconds():
    """Of this process and all below it, the JVM and its Python workers; of those that ended,
    too, which whoever waited for them was told."""
    ticks = 0
    for process in (os.getpid(), *children_of(os.getpid())):
        try:
            with open(f"/proc/{process}/stat") as stat:
                ticks += sum(map(int, stat.read().rpartition(")")[2].split()[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def main(place):
    listed = list_objects([place], {})
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")

    def in_spark(**arguments):
        result = portcullis_spark.scan(spark, place, tasks=4, **arguments)
        document = result.document()
        result.unpersist()
        return document

    ways = {
        "module": lambda: module(listed),
        "spark": in_spark,
        "spark-once": lambda: in_spark(keep_duplicates=True),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.monotonic(), processor_seconds()
        ways[line.strip()]()
        print(time.monotonic() - begun[0], processor_seconds() - begun[1], flush=True)


main(sys.argv[1])
