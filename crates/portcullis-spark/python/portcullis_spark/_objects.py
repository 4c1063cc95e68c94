"""Which objects a list of locations names, in which order, and opening them.

The order is that of the program: of two records of one request the one counts that stands
first in it. A location is a file, a directory tree, or ``s3://bucket/prefix``; those of
Hadoop's file systems are in ``_hadoop``. An object is opened where it is read, by the task,
and is read as a stream.
"""

import io
import os

_NO_LOGS = ("MANIFEST", "README", "LICENSE")

# How much of an object in a bucket is fetched at a time.
_FETCH_BYTES = 4 << 20

_clients = {}


def list_objects(locations, s3_options):
    """Names and stored sizes, each object once, in the order of the locations."""
    found = {}
    for location in locations:
        if location.startswith("s3://"):
            listed = _list_bucket(location, s3_options)
        else:
            listed = _list_path(location)
        before = len(found)
        for name, size in listed:
            found.setdefault(name, size)
        if len(found) == before and not found:
            raise ValueError(f"{location} holds no log")
    return list(found.items())


def _list_path(path):
    if os.path.isdir(path):
        yield from _list_tree(path)
    else:
        yield path, os.stat(path).st_size


def _list_tree(directory):
    # Names are ordered by their bytes, as the program orders them.
    for entry in sorted(os.scandir(directory), key=lambda entry: os.fsencode(entry.name)):
        if is_no_log(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _list_tree(entry.path)
        elif entry.is_file():
            yield entry.path, entry.stat().st_size


def is_no_log(name):
    lower = name.lower()
    return (
        name.startswith(".")
        or name.startswith(_NO_LOGS)
        or name == "truth.json"
        or lower.endswith((".md", ".toml"))
    )


def _client(s3_options):
    # One for each process: Spark uses its Python workers again.
    key = tuple(sorted(s3_options.items()))
    if key not in _clients:
        try:
            import boto3
        except ImportError as error:
            raise RuntimeError("s3:// needs boto3: pip install 'portcullis-spark[s3]'") from error
        _clients[key] = boto3.client("s3", **s3_options)
    return _clients[key]


def _split(location):
    bucket, _, key = location[len("s3://") :].partition("/")
    return bucket, key


def _list_bucket(location, s3_options):
    bucket, prefix = _split(location)
    pages = _client(s3_options).get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            # Consoles make empty objects that stand for folders.
            if not (entry["Key"].endswith("/") and entry["Size"] == 0):
                yield f"s3://{bucket}/{entry['Key']}", entry["Size"]


def open_object(name, s3_options):
    """Something with ``read(size)``."""
    if not name.startswith("s3://"):
        return open(name, "rb")
    bucket, key = _split(name)
    body = _client(s3_options).get_object(Bucket=bucket, Key=key)["Body"]
    return io.BufferedReader(_Raw(body), _FETCH_BYTES)


def write_object(place, content, s3_options):
    """Writes to ``s3://bucket/key``."""
    bucket, key = _split(place)
    _client(s3_options).put_object(Bucket=bucket, Key=key, Body=content)


class _Raw(io.RawIOBase):
    """A response's body as a raw stream."""

    def __init__(self, body):
        self._body = body

    def readable(self):
        return True

    def readinto(self, buffer):
        chunk = self._body.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
