"""Parse and build TIFF directories: the structure of TIFF files and of EXIF blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgesr.errors import InputError

ReadAt: TypeAlias = Callable[[int, int], bytes]

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SWAP_BYTES = {5: 4, 10: 4}
_FORMATS = {1: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 8: "i2", 9: "i4", 10: "i4", 11: "f4", 12: "f8", 13: "u4"}
_FORMATS |= {16: "u8", 17: "i8", 18: "u8"}
MAX_ENTRIES = 4096
MAX_VALUE_BYTES = 1 << 28


@dataclass(frozen=True)
class Header:
    """Describe a TIFF structure: byte order ``<`` or ``>``, whether it is BigTIFF, and where its first directory is."""

    order: str
    big: bool
    first: int


@dataclass(frozen=True)
class Entry:
    """Hold one tag; ``data`` is its value in little-endian bytes, ``position`` where the value lies in the file."""

    tag: int
    kind: int
    data: bytes
    position: int = 0

    @property
    def count(self) -> int:
        """Return the number of items of the value."""
        return len(self.data) // _ITEM_BYTES[self.kind]

    def numbers(self) -> list[float]:
        """Return the value as numbers; a rational is divided out, and one with denominator 0 is 0."""
        if self.kind not in _FORMATS:
            raise InputError(f"tag {self.tag} holds text where a number is needed; the file is damaged")
        items = np.frombuffer(self.data, "<" + _FORMATS[self.kind]).tolist()
        if self.kind in _SWAP_BYTES:
            return [a / b if b else 0.0 for a, b in zip(items[::2], items[1::2], strict=True)]
        return list(items)

    def integers(self) -> list[int]:
        """Return the value as whole numbers."""
        return [int(number) for number in self.numbers()]


def entry(tag: int, kind: int, *values: int) -> Entry:
    """Return an Entry of whole numbers; a RATIONAL takes numerators and denominators in turn."""
    return Entry(tag, kind, np.array(values, "<" + _FORMATS[kind]).tobytes())


def parse_header(read_at: ReadAt) -> Header:
    """Read the 8 or 16 bytes that begin a TIFF structure."""
    head = read_at(0, 8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise InputError("the TIFF structure does not begin with II or MM; the file is damaged")
    magic = struct.unpack(order + "H", head[2:4])[0]
    if magic == 42:
        return Header(order, False, struct.unpack(order + "I", head[4:8])[0])
    if magic == 43:
        return Header(order, True, struct.unpack(order + "Q", read_at(8, 8))[0])
    raise InputError(f"the TIFF structure has the magic number {magic}, not 42 or 43; the file is damaged")


def parse_directory(read_at: ReadAt, header: Header, offset: int) -> tuple[dict[int, Entry], int]:
    """Return the entries of the directory at ``offset`` by tag, and the offset of the next directory (0 = none).

    Entries of unknown kinds are left out, as the TIFF 6 specification asks of readers.
    """
    counter, item, pointer = ("Q", 20, "Q") if header.big else ("H", 12, "I")
    counter_bytes, pointer_bytes = struct.calcsize(counter), struct.calcsize(pointer)
    number = struct.unpack(header.order + counter, read_at(offset, counter_bytes))[0]
    if not 0 < number <= MAX_ENTRIES:
        raise InputError(f"a TIFF directory declares {number} tags; the file is damaged")
    table = read_at(offset + counter_bytes, number * item + pointer_bytes)
    entries = {}
    for index in range(number):
        at = index * item
        tag, kind, count = struct.unpack_from(f"{header.order}HH{pointer}", table, at)
        size = _ITEM_BYTES.get(kind, 0) * count
        if size == 0:
            continue
        if size > MAX_VALUE_BYTES:
            raise InputError(f"TIFF tag {tag} declares {size} bytes; the file is damaged")
        position = offset + counter_bytes + at + item - pointer_bytes
        if size > pointer_bytes:
            position = struct.unpack_from(header.order + pointer, table, at + item - pointer_bytes)[0]
        entries[tag] = Entry(tag, kind, _little(read_at(position, size), kind, header.order), position)
    return entries, struct.unpack_from(header.order + pointer, table, number * item)[0]


def build_directory(entries: Sequence[Entry], offset: int, *, big: bool = False, following: int = 0) -> bytes:
    """Return a little-endian directory that lies at the even ``offset``, its long values right behind it."""
    counter, item, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    ordered = sorted(entries, key=lambda one: one.tag)
    room = struct.calcsize(pointer)
    values = offset + struct.calcsize(counter) + len(ordered) * item + room
    values += values & 1
    table, tail = [struct.pack("<" + counter, len(ordered))], b""
    for one in ordered:
        slot = one.data.ljust(room, b"\0")
        if len(one.data) > room:
            slot = struct.pack("<" + pointer, values + len(tail))
            tail += one.data + b"\0" * (len(one.data) & 1)
        table.append(struct.pack(f"<HH{pointer}", one.tag, one.kind, one.count) + slot)
    head = b"".join(table) + struct.pack("<" + pointer, following)
    return head.ljust(values - offset, b"\0") + tail


def bytes_reader(block: bytes) -> ReadAt:
    """Return a function that reads (offset, size) of ``block`` and refuses to read past its end."""

    def read_at(offset: int, size: int) -> bytes:
        if offset < 0 or offset + size > len(block):
            raise InputError("a TIFF directory points outside its block; the file is damaged or truncated")
        return block[offset : offset + size]

    return read_at


def _little(data: bytes, kind: int, order: str) -> bytes:
    width = _SWAP_BYTES.get(kind, _ITEM_BYTES[kind])
    if order == "<" or width == 1:
        return data
    return np.frombuffer(data, f">u{width}").astype(f"<u{width}").tobytes()
