"""What a benchmark leaves: the table, the recommendation, the files, and an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgesr.bench.compare import title
from edgesr.bench.metrics.catalogue import LABEL_METRICS
from edgesr.bench.pareto import Budget, Recommendation, main_metrics, recommend
from edgesr.bench.record import Document
from edgesr.bench.record_json import to_json
from edgesr.bench.report.exhibits import Exhibit
from edgesr.bench.report.html import write_html
from edgesr.bench.report.markdown import markdown
from edgesr.bench.report.table import terminal
from edgesr.cli.bench_layers import layer_lines
from edgesr.cli.output import note, result, result_json
from edgesr.errors import InputError
from edgesr.model.atomic import replacing, saying_why

INVALID = 7
"""Exit code of a benchmark that must not be believed."""


def give(arguments: argparse.Namespace, document: Document, exhibits: Sequence[Exhibit], budget: Budget | None) -> int:
    """Print and write everything that was asked for; return 0, 6 when something failed, 7 when a row is invalid."""
    advice = _advice(arguments, document, budget)
    if arguments.json:
        result_json({**to_json(document), **({"recommendation": asdict(advice)} if advice else {})})
    else:
        _print(document, advice)
    if arguments.markdown:
        path = Path(arguments.markdown)
        with saying_why(path), replacing(path) as stream:
            stream.write(markdown(document, advice).encode())
    if arguments.html:
        write_html(Path(arguments.html), document, exhibits, advice)
    for path in filter(None, (arguments.output, arguments.markdown, arguments.html)):
        note(f"wrote {path}")
    statuses = {row.status for row in document.rows}
    is_short = any((row.quality or {}).get("failures") for row in document.rows)
    if "failed" in statuses or is_short:
        return InputError.exit_code
    return INVALID if "invalid" in statuses else 0


def _advice(arguments: argparse.Namespace, document: Document, budget: Budget | None) -> Recommendation | None:
    if arguments.min_psnr is not None:
        return recommend(document.rows, budget=budget, least=arguments.min_psnr, metric="psnr")
    if arguments.min_accuracy is not None:
        known = [name for name in main_metrics(document.rows) if name in LABEL_METRICS]
        metric = known[0] if known else "top1"
        return recommend(document.rows, budget=budget, least=arguments.min_accuracy, metric=metric)
    return None if budget is None else recommend(document.rows, budget=budget)


def _print(document: Document, advice: Recommendation | None) -> None:
    for line in (*terminal(document), *_conditions(document), *layer_lines(document)):
        result(line)
    if advice is not None:
        result(f"{'recommended: ' if advice.row is not None else ''}{advice.sentence}")
    for text in dict.fromkeys(text for row in document.rows for text in row.notes):
        said_by = [row for row in document.rows if text in row.notes]
        note(text if len(said_by) == len(document.rows) else f"{', '.join(map(title, said_by))}: {text}")
    reasons = {row.power["watts"].missing for row in document.rows if "watts" in row.power}
    for reason in sorted(reasons - {""}):
        note(f"no watts and joules: {reason}")


def _conditions(document: Document) -> list[str]:
    """Say once for each runtime what its times hold for."""
    told: dict[str, None] = {}
    for row in document.rows:
        if row.conditions:
            said = "; ".join(f"{name} {text}" for name, text in row.conditions.items())
            told[f"times on {row.device}: {said}"] = None
    return list(told)
