"""Read and write the text chunks of PNG files, with a limit on what they may inflate to."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from edgesr.errors import InputError

MAX_INFLATED_BYTES = 1 << 24


def inflate(data: bytes, chunk: str) -> bytes:
    """Return zlib data inflated, nothing if it is damaged; more than 16 MiB is an InputError."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, MAX_INFLATED_BYTES)
        if inflater.unconsumed_tail and inflater.decompress(inflater.unconsumed_tail, 1):
            raise InputError(
                f"the PNG chunk {chunk} inflates to more than {MAX_INFLATED_BYTES} bytes; save the picture without it"
            )
    except zlib.error:
        return b""
    return inflated if inflater.eof else b""


def read_text(kind: bytes, data: bytes) -> dict[str, str]:
    """Return the keyword and the text of one tEXt, zTXt or iTXt chunk; XMP, raw profiles and damage are left out."""
    key, found, rest = data.partition(b"\0")
    keyword = key.decode("latin-1")
    if not found or not keyword or keyword.startswith(("Raw profile type", "XML:com.adobe")):
        return {}
    if kind == b"tEXt":
        return {keyword: rest.decode("latin-1")}
    if kind == b"zTXt":
        return {keyword: inflate(rest[1:], "zTXt").decode("latin-1")}
    compressed = rest[:1] == b"\1"
    fields = rest[2:].split(b"\0", 2)
    if len(fields) < 3:
        return {}
    text = inflate(fields[2], "iTXt") if compressed else fields[2]
    return {keyword: text.decode("utf-8", "replace")}


def text_chunks(text: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunk kind and data for each entry: tEXt where Latin-1 holds it, else iTXt."""
    for keyword, value in text.items():
        key = keyword.encode("latin-1", "ignore").replace(b"\0", b"")[:79].strip()
        if not key:
            continue
        clean = value.replace("\0", "")
        try:
            yield b"tEXt", key + b"\0" + clean.encode("latin-1")
        except UnicodeEncodeError:
            yield b"iTXt", key + b"\0\0\0\0\0" + clean.encode("utf-8", "replace")
