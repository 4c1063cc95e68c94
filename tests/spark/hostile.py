"""Input that nobody should hand to the native module: an error each time, that says what is
wrong, and never a panic or the end of the process.

Random changes are drawn from a fixed seed, so that a failure comes again.
"""

import gzip
import io
import json
import random

from portcullis_spark import _native

SEED = 9
CHANGES = 4_000

SETTINGS = {
    "rules": None, "crawler_ranges": [], "format": None, "trusted_proxies": [],
    "max_object_bytes": None, "set_aside": True, "hash_key": 7,
}

# What stands where something else should.
STRANGE = (
    None, -1, 2**70, 1.5, "", "\ud800", "x" * 100_000, "[" * 200_000, b"", b"\xff" * 40, [], {},
    [None], [[]], ["a", 1], object(),
)

TEXT = b"".join(
    b'198.51.100.%d - - [02/Mar/2026:09:00:%02d +0000] "GET %s HTTP/1.1" %d 5 "-" "Googlebot"\n'
    % (client, second, path, status)
    for second in range(60)
    for client in range(3)
    for path, status in ((b"/..%2f..%2fetc%2fpasswd", 404), (b"/pets/%d" % second, 200))
)


class Source:
    """Something with ``read``, which does what it was told to."""

    def __init__(self, read):
        self.read = read


def fails(*_):
    raise OSError("the network is down")


class Tries:
    def __init__(self):
        self.errors = self.accepted = 0

    def __call__(self, work):
        """Whatever comes of it must be a result or an error of the ordinary kind."""
        try:
            result = work()
        except Exception as error:
            assert "panicked" not in str(error), error
            self.errors += 1
            return None
        self.accepted += 1
        return result


def rows_of(settings, digest):
    task = _native.Map(settings, digest)
    task.object("a", io.BytesIO(TEXT), None, [])
    return task.drain()


def parts_of(settings, digest, rows):
    task = _native.Reduce(settings, digest, 1 << 20)
    task.push(*map(list, zip(*sorted(zip(*rows)))))
    return task.finish()


def changed(random, text):
    text = bytearray(text)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(text) + 1)
        how = random.randrange(3)
        if how == 0 and place < len(text):
            text[place] = random.randrange(256)
        elif how == 1:
            text[place:place] = random.randbytes(random.randint(1, 9))
        else:
            del text[place : place + random.randint(1, 20)]
    return bytes(text)


def strange_types(tries, settings, digest):
    for strange in STRANGE:
        tries(lambda: _native.digest(strange))
        for key in SETTINGS:
            tries(lambda: _native.digest(json.dumps({**SETTINGS, key: strange}, default=str)))
        tries(lambda: _native.Map(strange, digest))
        tries(lambda: _native.Map(settings, strange))
        tries(lambda: _native.Reduce(settings, digest, strange))
        tries(lambda: _native.Whole(strange))
        tries(lambda: _native.Identities(settings, digest, strange))
        found = _native.Identities(settings, digest, 3)
        tries(lambda: found.object(strange, "a", io.BytesIO(TEXT)))
        tries(lambda: found.object(1, strange, io.BytesIO(TEXT)))
        tries(lambda: found.object(1, "a", strange))
        tries(lambda: found.object(1, "a", Source(lambda _: strange)))
        tries(found.drain)
        twins = _native.Twins()
        tries(lambda: twins.push(strange))
        tries(twins.take)
        task = _native.Map(settings, digest)
        for arguments in (
            (strange, io.BytesIO(TEXT), None, []), ("a", strange, None, []), ("a", None, strange, []),
            ("a", io.BytesIO(TEXT), None, strange), ("a", Source(lambda _: strange), None, []),
        ):
            tries(lambda: task.object(*arguments))
        tries(task.drain)
        for columns in ((strange, [b""]), ([b""], strange), (strange, strange)):
            tries(lambda: _native.Reduce(settings, digest, 0).push(*columns))
        whole = _native.Whole(True)
        tries(lambda: whole.push(strange))
        tries(lambda: whole.push([(strange, False, "{}")]))
        tries(lambda: whole.push([("offender", False, strange)]))
        tries(lambda: whole.accept(strange))


def wrong_order(tries, settings, digest):
    """What comes too early, too late, or twice."""
    before = tries.errors
    reduce = _native.Reduce(settings, digest, 0)
    reduce.finish()
    for work in (reduce.finish, reduce.take, lambda: reduce.push([], [])):
        tries(work)
    whole = _native.Whole(True)
    for work in (whole.document, whole.rows):
        tries(work)
    whole.accept([])
    for work in (lambda: whole.accept([]), lambda: whole.push([])):
        tries(work)
    assert tries.errors - before == 7, "something was accepted out of its turn"


def hostile_objects(tries, settings, digest):
    limited = json.dumps({**SETTINGS, "max_object_bytes": 1 << 20})
    packed = gzip.compress(TEXT)
    bomb = gzip.compress(b"\0" * (64 << 20))
    objects = (
        packed[:-9], packed[:20] + b"\xff" * 40 + packed[60:], bomb, gzip.compress(bomb),
        b"PAR1" + b"\xff" * 200 + b"PAR1", b"PK\x03\x04" + b"\xff" * 200, b"\x28\xb5\x2f\xfd\xff\xff",
        b"[" * (1 << 20), b'{"a":' * (1 << 18), b"<" * (1 << 20), b"\xff" * (1 << 20),
    )
    task = _native.Map(limited, _native.digest(limited))
    for number, text in enumerate(objects):
        tries(lambda: task.object(f"{number}\x1b[2J\ud7ff", io.BytesIO(text), None, [2**40, 1, 1]))
    for read in (fails, lambda size: b"x" * (size + 1), lambda size: "x", lambda: b""):
        tries(lambda: task.object("a", Source(read), None, []))
        tries(lambda: _native.Identities(settings, digest, 3).object(1, "a", Source(read)))
    keys, states = task.drain()
    assert len(keys) == len(states) > len(objects)


def changed_bytes(tries, settings, digest):
    chance = random.Random(SEED)
    twice = _native.Twins()
    twice.push(b"\1" * 32)
    assert tries(twice.take) is None, "one place of one object twice"
    rows = rows_of(settings, digest)
    parts = parts_of(settings, digest, rows)
    assert {kind for kind, _, _ in parts} >= {"audited", "coverage", "offender", "traffic"}
    packed = gzip.compress(TEXT)
    for _ in range(CHANGES):
        index = chance.randrange(len(rows[0]))
        key, state = rows[0][index], rows[1][index]
        if chance.random() < 0.2:
            key = changed(chance, key)
        reduce = _native.Reduce(settings, digest, 0)
        if tries(lambda: (reduce.push([key], [changed(chance, state)]),)):
            found = tries(reduce.finish)
            if found:
                whole = _native.Whole(True)
                tries(lambda: whole.push(found))
        kind, aside, text = chance.choice(parts)
        text = changed(chance, text.encode()).decode(errors="replace")
        whole = _native.Whole(True)
        if tries(lambda: (whole.push([(kind, aside, text)]),)):
            tries(lambda: whole.accept(["a"]))
    for _ in range(CHANGES // 20):
        task = _native.Map(settings, digest)
        text = changed(chance, chance.choice((packed, TEXT)))
        tries(lambda: task.object("a", io.BytesIO(text), None, []))
        tries(task.drain)


def run():
    settings = json.dumps(SETTINGS)
    digest = _native.digest(settings)
    tries = Tries()
    strange_types(tries, settings, digest)
    wrong_order(tries, settings, digest)
    hostile_objects(tries, settings, digest)
    changed_bytes(tries, settings, digest)
    try:
        _native.panic("by a test")
    except RuntimeError as error:
        assert "portcullis panicked on purpose: by a test" in str(error), error
    else:
        raise SystemExit("a panic was lost")
    assert tries.errors > CHANGES / 2 and tries.accepted > 100, (tries.errors, tries.accepted)
    print(f"ok: {tries.errors} hostile inputs are errors, {tries.accepted} do no harm", flush=True)


if __name__ == "__main__":
    run()
