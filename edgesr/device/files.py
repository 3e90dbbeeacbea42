"""Small system files."""

from __future__ import annotations

from pathlib import Path

HERE = Path("/")
_MAX_TEXT = 1 << 16


def read_text(path: Path) -> str:
    """Return what a small system file says, without the NULs of device trees; empty when it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  read for every picture: Path.open is slower
            content = stream.read(_MAX_TEXT)
    except (OSError, ValueError):
        return ""
    return content.decode("utf-8", "replace").replace("\0", " ").strip()
