"""``edgesr cache``: the TensorRT engines that were built on this machine."""

from __future__ import annotations

import argparse
import time

from edgesr.cli.output import note, result, result_json
from edgesr.compile.engine_cache import EngineCache
from edgesr.compile.engine_record import Entry
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import show_shapes


def execute(arguments: argparse.Namespace) -> int:
    """List the engines, or delete all of them."""
    cache = EngineCache()
    if arguments.action == "clear":
        freed = cache.clear()
        if arguments.json:
            result_json({"folder": str(cache.folder), "freed": freed})
        else:
            note(f"{freed / 1e6:.1f} MB freed in {cache.folder}")
        return 0
    entries = cache.entries()
    if arguments.json:
        result_json({"folder": str(cache.folder), "engines": [_document(entry) for entry in entries]})
        return 0
    for entry in entries:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        machine = entry.facts["machine"]
        result(
            f"{entry.model:<20} {_shapes(entry):<24} {entry.size / 1e6:>7.1f} MB  {made}  "
            f"TensorRT {machine['tensorrt']}  {machine['gpu']}  {entry.path}"
        )
    if not entries:
        note(f"there are no engines in {cache.folder}")
    return 0


def _shapes(entry: Entry) -> str:
    profile = BuildOptions.from_document(entry.facts["options"]).profile
    return show_shapes({name: shapes.best for name, shapes in profile.items()}) or "own sizes"


def _document(entry: Entry) -> dict[str, object]:
    return {
        "key": entry.key,
        "path": str(entry.path),
        "model": entry.model,
        "bytes": entry.size,
        "created": entry.created,
        **entry.facts,
    }
