"""What the messages of TensorRT, CUDA and ONNX Runtime mean and what helps, collected from their issue trackers.

The catalogue is ``messages.json``; docs/troubleshooting.md shows it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_CATALOGUE = Path(__file__).with_name("messages.json")


@dataclass(frozen=True)
class Entry:
    """One kind of message: how to know it, why it comes and what to do."""

    id: str
    of: str
    """Whose message it is."""
    pattern: str
    """Regular expression, searched for without regard to case."""
    texts: tuple[str, ...]
    """The words as they are printed, ``…`` for what differs from case to case."""
    cause: str
    remedy: str
    sources: tuple[str, ...]
    """Public threads in which people met it and were helped."""


@lru_cache(maxsize=1)
def catalogue() -> tuple[Entry, ...]:
    """Read all entries; of several that know a message the first one counts."""
    entries = json.loads(_CATALOGUE.read_text("utf-8"))
    return tuple(
        Entry(**{**entry, "texts": tuple(entry["texts"]), "sources": tuple(entry["sources"])}) for entry in entries
    )


def find(text: str) -> Entry | None:
    """Return the first entry that knows a message."""
    return next((entry for entry in catalogue() if re.search(entry.pattern, text, re.IGNORECASE)), None)


def explain(text: str) -> str:
    """Return the message with its cause and remedy, or as it is where nothing is known or all was said."""
    entry = find(text)
    return text if entry is None or entry.remedy in text else f"{text} ({entry.cause}); {entry.remedy}"
