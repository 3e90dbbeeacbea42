"""Names of files inside packages: relative, plain ASCII, known suffixes, the same on every file system."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgesr.errors import ModelError
from edgesr.model.schema import matches, show

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib")
_SUFFIXES = ".onnx, .data, .json, .png, .npy, .txt, .md and .jpg"


def check_names(names: Iterable[str], source: str) -> None:
    """Refuse file names that could leave the package, hide another file or hold code."""
    seen: dict[str, str] = {}
    for name in names:
        reason = _unsafe(name)
        if reason:
            raise ModelError(f"{source}: the file name {show(name)} {reason}; get the package again from its maker")
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ModelError(
                f"{source}: the file names {show(other)} and {show(name)} differ only in capitals; rename one"
            )


def check_suffix(name: str, source: str) -> None:
    """Refuse a file whose kind does not belong into a package."""
    if name.lower().endswith(_PICKLES):
        raise ModelError(
            f"{source}: {show(name)} may be a pickle, which can run code; a package holds {_SUFFIXES} files"
        )
    if not matches("file", name):
        raise ModelError(f"{source}: {show(name)} is not a file for a package; it holds {_SUFFIXES} files")


def _unsafe(name: str) -> str:
    if "\0" in name or not name.isprintable():
        return "has a control character"
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/"):
        return "is absolute"
    if re.match(r"[A-Za-z]:", name):
        return "has a drive letter"
    segments = name.split("/")
    if ".." in segments:
        return "leaves the package"
    if any(segment in ("", ".") for segment in segments):
        return "has an empty folder name"
    return ""
