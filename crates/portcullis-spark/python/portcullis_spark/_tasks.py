"""What runs on the executors: two functions under ``mapInArrow``, and a third before them.

They know nothing of rules or formats. Rows go to the native module and come from it; here
is only how much of them at a time.
"""

import pyarrow as pa

from . import _native
from ._objects import open_object

# Rows and bytes of one batch for Spark. Its workers hold a few batches at a time.
_BATCH_ROWS = 10_000
_BATCH_BYTES = 32 << 20

ROW = pa.schema([("key", pa.binary()), ("state", pa.binary())])
PART = pa.schema([("kind", pa.string()), ("set_aside", pa.bool_()), ("document", pa.string())])
TWIN = pa.schema([("object", pa.int32()), ("place", pa.int32())])


class Job:
    """What every task needs; it travels with the functions."""

    def __init__(self, settings, digest, s3_options, task_bytes, parts):
        self.settings = settings
        self.digest = digest
        self.s3_options = s3_options
        self.task_bytes = task_bytes
        self.parts = parts

    def map(self, batches):
        """Objects to states by key."""
        task = _native.Map(self.settings, self.digest)
        for name, left_out, content in _rows(batches, "name", "left_out", "content"):
            source, error = self._open(name, content)
            task.object(name, source, error, left_out or [])
            if source is not None:
                source.close()
            if task.kept_bytes() > self.task_bytes:
                yield from _sliced(task.drain(), ROW)
        yield from _sliced(task.drain(), ROW)

    def reduce(self, batches):
        """States, sorted by key, to what is found."""
        task = _native.Reduce(self.settings, self.digest, self.task_bytes)
        for batch in batches:
            task.push(batch.column(0).to_pylist(), batch.column(1).to_pylist())
            yield from _parts(task.take())
        yield from _parts(task.finish())

    def identities(self, batches):
        """Objects to the identities of their records, packed by parts."""
        found = _native.Identities(self.settings, self.digest, self.parts)
        for number, name, content in _rows(batches, "number", "name", "content"):
            source, _ = self._open(name, content)
            if source is None:
                continue
            found.object(number, name, source)
            source.close()
            if found.kept_bytes() > self.task_bytes:
                yield from _sliced(found.drain(), ROW)
        yield from _sliced(found.drain(), ROW)

    def _open(self, name, content):
        if content is not None:
            return pa.BufferReader(content), None
        try:
            return open_object(name, self.s3_options), None
        except OSError as error:
            # As the program words what the system says.
            return None, f"{error.strerror} (os error {error.errno})" if error.errno else str(error)


def find_twins(batches):
    """Packed identities, sorted by part, to the places of records that do not count."""
    twins, part = _native.Twins(), None
    for batch in batches:
        for key, packed in zip(*(column.to_pylist() for column in batch.columns)):
            if key != part:
                yield from _twins(twins)
                part = key
            twins.push(packed)
    yield from _twins(twins)


def _twins(twins):
    objects, places = twins.take()
    if objects:
        yield _batch((objects, places), TWIN)


def _rows(batches, *names):
    """Rows as tuples. A column that is not there is ``None``; bytes are not copied."""
    for batch in batches:
        found = [batch.schema.get_field_index(name) for name in names]
        columns = [batch.column(index) if index >= 0 else None for index in found]
        for index in range(batch.num_rows):
            yield tuple(None if column is None else _value(column[index]) for column in columns)


def _value(scalar):
    return scalar.as_buffer() if pa.types.is_binary(scalar.type) else scalar.as_py()


def _sliced(rows, schema):
    keys, states = rows
    first, size = 0, 0
    for index, state in enumerate(states):
        size += len(state) + len(keys[index])
        if size >= _BATCH_BYTES or index + 1 - first >= _BATCH_ROWS:
            yield _batch((keys[first : index + 1], states[first : index + 1]), schema)
            first, size = index + 1, 0
    if first < len(keys):
        yield _batch((keys[first:], states[first:]), schema)


def _batch(columns, schema):
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _parts(parts):
    for first in range(0, len(parts), _BATCH_ROWS):
        yield _batch(list(zip(*parts[first : first + _BATCH_ROWS])), PART)
