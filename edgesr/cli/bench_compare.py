"""``edgesr bench --compare OLD NEW``: what became faster or slower."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from edgesr.bench.compare import RowChange, compare_documents
from edgesr.bench.record_json import read_document
from edgesr.cli.output import note, result, result_json
from edgesr.errors import UsageError


def compare(arguments: argparse.Namespace) -> int:
    """Print a line for every row that both results have; return 0."""
    if arguments.model:
        raise UsageError(f"--compare takes two results and no model; leave out {' '.join(arguments.model)}")
    old, new = (read_document(Path(name)) for name in arguments.compare)
    found = compare_documents(old, new, force=arguments.force)
    if arguments.json:
        rows = [{**asdict(row), "verdict": row.verdict} for row in found.rows]
        result_json({**asdict(found), "rows": rows})
        return 0
    for row in found.rows:
        result(_line(row))
        for text in row.notes:
            note(f"{row.title}: {text}")
    for kind, titles in (("old", found.only_old), ("new", found.only_new)):
        for title in titles:
            note(f"only in the {kind} result: {title}")
    for text in found.differences:
        note(f"the results differ in {text}")
    return 0


def _line(row: RowChange) -> str:
    if row.change is None:
        return f"not compared  {row.title}"
    change = row.change
    low, high = ((bound - 1) * 100 for bound in (change.low, change.high))
    quality = "".join(f", {name} {old:.4g} -> {new:.4g}" for name, (old, new) in row.quality.items() if old != new)
    return (
        f"{row.verdict:<7} {(change.ratio - 1) * 100:+.1f} % [{low:+.1f}, {high:+.1f}]  {row.title}: "
        f"median {row.old_ms:.2f} -> {row.new_ms:.2f} ms{quality}"
    )
