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
IDENTITY = pa.schema([("identity", pa.int64()), ("object", pa.int32()), ("place", pa.int32())])
TWIN = pa.schema([("object", pa.int32()), ("place", pa.int32())])


class Job:
    """What every task needs; it travels with the functions."""

    def __init__(self, settings, digest, s3_options, task_bytes):
        self.settings = settings
        self.digest = digest
        self.s3_options = s3_options
        self.task_bytes = task_bytes

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
        """Objects to the identities of their records."""
        for number, name, content in _rows(batches, "number", "name", "content"):
            source, _ = self._open(name, content)
            if source is None:
                continue
            found = _native.identities(self.settings, self.digest, name, source)
            source.close()
            column = pa.Array.from_buffers(pa.int64(), len(found) // 8, [None, pa.py_buffer(found)])
            for first in range(0, len(column), _BATCH_ROWS * 10):
                some = column.slice(first, _BATCH_ROWS * 10)
                numbers = pa.array([number], pa.int32()).take(pa.array([0] * len(some)))
                places = pa.array(range(first, first + len(some)), pa.int32())
                yield pa.RecordBatch.from_arrays([some, numbers, places], schema=IDENTITY)

    def _open(self, name, content):
        if content is not None:
            return pa.BufferReader(content), None
        try:
            return open_object(name, self.s3_options), None
        except OSError as error:
            # As the program words what the system says.
            return None, f"{error.strerror} (os error {error.errno})" if error.errno else str(error)


def find_twins(batches):
    """Identities, sorted, to the places of records that do not count."""
    twins = _native.Twins()
    for batch in batches:
        found = twins.find(*(_bytes(batch.column(index)) for index in range(3)))
        if found:
            chosen = batch.take(pa.array(found))
            yield pa.RecordBatch.from_arrays([chosen.column(1), chosen.column(2)], schema=TWIN)


def _bytes(column):
    width = column.type.bit_width // 8
    first = column.offset * width
    return column.buffers()[1].slice(first, len(column) * width).to_pybytes()


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
