"""Damage to files, and a bound for what damaged files may cost."""

from __future__ import annotations

import random
import resource
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

MEMORY = 400 << 20
"""Bytes by which the largest resident size of the process may grow over all cases of one test."""


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return ``content`` with one to four random changes of the kinds that disks, networks and enemies make."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(7)
        if kind == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[place : place + 1] = bytes([(data[place] if place < len(data) else 0) ^ 1 << rng.randrange(8)])
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            del data[place : place + rng.randrange(1, 40)]
        elif kind == 4:
            data[place:place] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 5:
            data[place : place + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80"))
        else:
            start = rng.randrange(len(data)) if data else 0
            data[place:place] = data[start : start + rng.randrange(1, 200)]
    return bytes(data)


def with_checksums(content: bytes) -> bytes:
    """Make the checksums of PNG chunks right again, so that damage reaches what lies behind them."""
    place = 8
    data = bytearray(content)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(data)


@contextmanager
def bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
