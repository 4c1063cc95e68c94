"""Objects and files of Hadoop's file systems: ``hdfs:``, ``abfss:``, ``gs:``, ``s3a:``, ``file:``.

Spark lists and reads the objects by its own source ``binaryFile``, so whatever file system
and credentials the cluster is configured for work here, and a task needs no JVM of its own.
The price: an object is whole in memory, packed, on its way from the JVM to Python; Spark
takes none of 2 GiB and more. Names that begin with ``_`` or ``.`` are Hadoop's own marks,
and Spark passes them over.
"""

import re

from ._objects import is_no_log

# Packed bytes that a task is given, unless one object is larger: all of a task's objects may
# come to Python as one batch.
_TASK_BYTES = 64 << 20

# What reading an object costs besides, as bytes.
_OPEN_BYTES = 256 << 10

# Bytes of a file that are handed to the JVM at a time.
_WRITE_BYTES = 4 << 20

_LISTED = "name string, number int, left_out array<int>"


def is_uri(location):
    """Whether a location is of one of these file systems. ``s3:`` is read by boto3."""
    return bool(re.match(r"[a-z][a-z0-9+.-]+:/", location)) and not location.startswith("s3:")


class Files:
    """Objects of locations, as a data frame that is read again by each step."""

    def __init__(self, spark, locations):
        # A session of its own, because how Spark deals files out is set by session; what was
        # set for the given one, credentials of file systems among it, holds here.
        self._spark = spark.newSession()
        given = spark._jsparkSession.conf().getAll().iterator()
        while given.hasNext():
            pair = given.next()
            name, value = pair._1(), pair._2()
            if self._spark.conf.get(name, None) != value:
                self._spark.conf.set(name, value)
        self._spark.conf.set("spark.sql.files.maxPartitionBytes", str(_TASK_BYTES))
        self._spark.conf.set("spark.sql.files.openCostInBytes", str(_OPEN_BYTES))
        reader = self._spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        self._files = reader.load(locations)

    def listed(self):
        """Names and stored sizes, in the order in which a tree of directories is walked."""
        rows = self._files.select("path", "length").collect()
        logs = [tuple(row) for row in rows if not is_no_log(row["path"].rpartition("/")[2])]
        return sorted(logs, key=lambda log: log[0].encode().split(b"/"))

    def objects(self, listed, left_out):
        """The objects of a listing, with what is in them."""
        from pyspark.sql import functions as F

        rows = [(name, number, left_out.get(number)) for number, (name, _) in enumerate(listed)]
        numbered = F.broadcast(self._spark.createDataFrame(rows, _LISTED))
        files = self._files.withColumnRenamed("path", "name").select("name", "content")
        return files.join(numbered, "name").select("number", "name", "left_out", "content")


def write_file(spark, place, content):
    """Writes a file, over one that is there."""
    jvm, configuration = spark.sparkContext._jvm, spark.sparkContext._jsc.hadoopConfiguration()
    path = jvm.org.apache.hadoop.fs.Path(place)
    out = path.getFileSystem(configuration).create(path, True)
    try:
        for first in range(0, len(content), _WRITE_BYTES):
            out.write(bytearray(content[first : first + _WRITE_BYTES]))
    finally:
        out.close()
