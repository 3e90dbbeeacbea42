"""``edgesr cache``: the TensorRT engines that were built on this machine, and which runtimes were measured on it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from edgesr.cli.output import note, result, result_json
from edgesr.compile.choices import ChoiceStore, KeptChoices
from edgesr.compile.engine_cache import EngineCache
from edgesr.compile.engine_record import Entry
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import show_shapes
from edgesr.errors import EdgesrError
from edgesr.model import ModelDescriptor, list_models, open_package


def execute(arguments: argparse.Namespace) -> int:
    """List engines and choices of runtimes, or delete all of them."""
    cache, store = EngineCache(), ChoiceStore(None)
    folders = {"folder": str(cache.folder), "choices_folder": str(store.folder)}
    if arguments.action == "clear":
        freed = cache.clear() + store.clear()
        if arguments.json:
            result_json({**folders, "freed": freed})
        else:
            note(f"{freed / 1e6:.1f} MB freed in {cache.folder} and {store.folder}")
        return 0
    entries, kept = cache.entries(), store.entries()
    if arguments.json:
        choices = [{**it.facts, "choices": {key: asdict(one) for key, one in it.choices.items()}} for it in kept]
        result_json({**folders, "engines": [_document(entry) for entry in entries], "choices": choices})
        return 0
    for entry in entries:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        machine = entry.facts["machine"]
        result(
            f"{entry.model:<20} {_shapes(entry):<24} {entry.size / 1e6:>7.1f} MB  {made}  "
            f"TensorRT {machine['tensorrt']}  {machine['gpu']}  {entry.path}"
        )
    for line in _choice_lines(kept):
        result(line)
    if not entries:
        note(f"there are no engines in {cache.folder}")
    return 0


def _choice_lines(kept: Sequence[KeptChoices]) -> list[str]:
    """Return a line for every size at which ``--device auto`` measured a network on the CPU."""
    if not kept:
        return []
    names = {part.sha256: model for model, descriptor in _known_models() for part in descriptor.parts.values()}
    lines = []
    for one in kept:
        name = names.get(one.facts.get("sha256", "")) or f"network {str(one.facts.get('sha256', ''))[:12]}"
        versions = ", ".join(f"{library} {version}" for library, version in one.facts.get("versions", {}).items())
        where = f"{one.facts.get('threads', '?')} threads of {one.facts.get('cpu', '?')}, {versions}"
        for bucket, choice in sorted(one.choices.items()):
            size = f"inputs below {2**bucket:,} values".replace(",", " ")
            when = f"{choice.pairs} pairs, {choice.measured}" if choice.pairs else choice.measured
            lines.append(f"{name:<20} {size:<32} {choice.sentence()}  {when}  {where}")
    return lines


def _known_models() -> Iterator[tuple[str, ModelDescriptor]]:
    for info in list_models():
        try:
            yield info.name, open_package(info.path).descriptor
        except EdgesrError:
            continue


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
