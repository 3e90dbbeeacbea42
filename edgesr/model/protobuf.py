"""Find the external data files of an ONNX file by walking its protobuf bytes, without the onnx package."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgesr.errors import ModelError
from edgesr.model.schema import show

_NESTED: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Message kind to field number to the kind of message in it, from onnx.proto3."""
_KEY, _VALUE = 1, 2


def external_files(content: Path | bytes, source: str) -> frozenset[str]:
    """Return the ``location`` of every tensor whose data lies outside the ONNX file, as written there."""
    try:
        if isinstance(content, bytes):
            return frozenset(_locations(content or b"\0"))
        with content.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return frozenset(_locations(data))
    except (IndexError, UnicodeDecodeError):
        raise ModelError(f"{source}: is truncated or not an ONNX file; copy or export it again") from None
    except ValueError:
        raise ModelError(f"{source}: is empty; copy or export it again") from None
    except OSError as error:
        raise ModelError(f"{source}: cannot be read: {error.strerror or error}") from None


def files_beside(path: Path) -> tuple[str, ...]:
    """Return the external data files, all of which must lie beside the ONNX file or below."""
    names = sorted(external_files(path, str(path)))
    folder = path.parent.resolve()
    for name in names:
        unsafe = name.startswith("/") or "\\" in name or ":" in name or not name.isprintable() or not name
        place = path.parent / name
        if unsafe or ".." in name.split("/") or not place.resolve().is_relative_to(folder):
            raise ModelError(f"{path}: takes its weights from {show(name)}, which is not beside it; export it again")
        if not place.is_file():
            raise ModelError(f"{path}: its weights {show(name)} are missing; put that file beside it")
    return tuple(names)


def _locations(data: mmap.mmap | bytes) -> Iterator[str]:
    messages = [("model", 0, len(data))]
    while messages:
        kind, start, end = messages.pop()
        strings = {}
        for number, first, last in _fields(data, start, end):
            if kind == "entry":
                strings[number] = data[first:last]
            elif number in _NESTED[kind]:
                messages.append((_NESTED[kind][number], first, last))
        if strings.get(_KEY) == b"location":
            yield strings.get(_VALUE, b"").decode("utf-8")


def _fields(data: mmap.mmap | bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of every length-delimited field of one message."""
    while position < end:
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            _, position = _varint(data, position)
        elif wire == 1:
            position += 8
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > end:
                raise IndexError
            yield key >> 3, position, position + length
            position += length
        elif wire == 5:
            position += 4
        else:
            raise IndexError
        if position > end:
            raise IndexError


def _varint(data: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise IndexError
