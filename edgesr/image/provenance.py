"""What a picture says about the model that made it: written into every format that holds text, and read back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from edgesr.errors import InputError
from edgesr.image.ifd import bytes_reader, parse_directory, parse_header
from edgesr.image.picture import Metadata, Picture
from edgesr.image.reader import read
from edgesr.image.source import shown

RECORD = "edgesr"
"""Keyword before the record, a JSON object: ``model``, ``version``, ``scale``, ``settings``."""
RESIDUAL = "Residual"
_DESCRIPTION = 270
_RESIDUAL = re.compile(r"Residual: ([0-9.]+) of 256 grey levels")


def provenance_text(
    model: str, version: str, scale: int, settings: Mapping[str, Any], *, software: str = "edgesr"
) -> dict[str, str]:
    """Return text by PNG keyword: a sentence for people, and the record for programs."""
    told = ", ".join(f"{name}={value}" for name, value in settings.items())
    record = {"model": model, "version": version, "scale": scale, "settings": dict(settings)}
    return {
        "Software": software,
        "Comment": f"enlarged x{scale} by a neural network ({model} {version}{', ' + told if told else ''}); "
        "not a measurement",
        RECORD: json.dumps(record, ensure_ascii=True, default=str),
    }


def residual_text(levels: float) -> dict[str, str]:
    """Return the text that says how far a result is from its input."""
    return {RESIDUAL: f"{levels:.3f} of 256 grey levels RMS beyond clipping and rounding"}


def joined(known: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return the text of a source with what is added; a comment or software that the source names stays before ours."""
    text = {**known, **added}
    for keyword in ("Comment", "Software"):
        if keyword in known and keyword in added and added[keyword] not in known[keyword].split("; "):
            text[keyword] = f"{known[keyword]}; {added[keyword]}"
    return text


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the record of a PNG, TIFF, JPEG or DICOM picture with its ``residual``, None for one without."""
    picture = read(path)
    text = _text_of(picture)
    start = text.rfind(f"{RECORD}: {{")
    if start < 0:
        return None
    try:
        record, _ = json.JSONDecoder().raw_decode(text, start + len(RECORD) + 2)
    except (ValueError, RecursionError):
        raise InputError(f"{shown(path)}: its record of the model is damaged") from None
    found = _RESIDUAL.search(text, start)
    return {**record, **({"residual": float(found.group(1))} if found else {})}


def _text_of(picture: Picture) -> str:
    """Return all text of a picture as ``key: value`` pairs; nothing else of a DICOM data set than its derivation."""
    metadata = picture.metadata
    if metadata.dicom is not None:
        return str(getattr(metadata.dicom, "derivation", ""))
    parts = [f"{key}: {value}" for key, value in metadata.text.items()]
    return "; ".join([*parts, *_descriptions(metadata)])


def _descriptions(metadata: Metadata) -> list[str]:
    if metadata.exif is None:
        return []
    try:
        read_at = bytes_reader(metadata.exif)
        header = parse_header(read_at)
        main, _ = parse_directory(read_at, header, header.first)
    except InputError:
        return []
    return [main[_DESCRIPTION].data.rstrip(b"\0").decode("ascii", "replace")] if _DESCRIPTION in main else []
