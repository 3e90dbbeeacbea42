"""``edgesr bench``: latency beside quality and energy, measured so that the figures say what they hold for."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgesr import __version__
from edgesr.bench.machine import describe_machine, open_nvml
from edgesr.bench.pareto import Budget
from edgesr.bench.plan import TIMED, Plan, Watchers
from edgesr.bench.quality import QualityOptions
from edgesr.bench.record import Document, Reading, Row
from edgesr.bench.record_json import write_document
from edgesr.bench.report.exhibits import Exhibit, collect
from edgesr.bench.resume import finished_rows
from edgesr.bench.runner import run_benchmark
from edgesr.bench.single_stream import SECONDS
from edgesr.bench.spec import Spec, cross
from edgesr.bench.timing import Protocol
from edgesr.bench.validity import Limits
from edgesr.cli.bench_output import give
from edgesr.cli.bench_pictures import Pictures, find
from edgesr.cli.bench_sweep import from_sweep
from edgesr.cli.output import note
from edgesr.cli.run import expectations
from edgesr.cli.spinner import Spinner
from edgesr.device.power_mode import Nvpmodel, power_mode
from edgesr.errors import UsageError
from edgesr.pipelines.load import Pipeline


def execute(arguments: argparse.Namespace) -> int:
    """Measure, or compare two results; return 0, 6 when a model or picture failed, 7 when a row is invalid."""
    if arguments.compare:
        from edgesr.cli.bench_compare import compare

        return compare(arguments)
    if not arguments.model:
        raise UsageError("name at least one model, or two results with --compare OLD NEW")
    specs = from_sweep(arguments) or _specs(arguments)
    if arguments.min_psnr is not None and arguments.min_accuracy is not None:
        raise UsageError("--min-psnr is for pictures, --min-accuracy for labels; give one of them")
    budget = Budget.parse(arguments.budget) if arguments.budget else None
    pictures = find(arguments)
    settings = _settings(arguments, pictures)
    with ExitStack() as stack:
        plan = _plan(arguments, pictures, stack)
        spinner = stack.enter_context(Spinner(quiet=arguments.json))
        nvpmodel = Nvpmodel()
        stack.enter_context(power_mode(arguments.power_mode, nvpmodel, note=note))
        machine = _machine(arguments, nvpmodel)
        finished = _finished(arguments, specs, machine, settings)
        if not arguments.json:
            spinner.note(pictures.told)
        document = Document(_now(), __version__, machine, settings, ())
        document, exhibits = _measure(arguments, specs, plan, spinner, document, finished=finished)
    return give(arguments, document, exhibits, budget)


def _measure(
    arguments: argparse.Namespace,
    specs: list[Spec],
    plan: Plan,
    spinner: Spinner,
    document: Document,
    *,
    finished: dict[int, Row],
) -> tuple[Document, list[Exhibit]]:
    """Measure what is missing; the file of -o is written again after every row."""
    missing = [number for number in range(len(specs)) if number not in finished]
    rows = dict(finished)
    exhibits: list[Exhibit] = []

    def filled() -> Document:
        return replace(document, rows=tuple(rows[number] for number in sorted(rows)))

    def keep(row: Row) -> None:
        rows[missing[len(rows) - len(finished)]] = row
        if arguments.output:
            write_document(filled(), Path(arguments.output))

    def show(number: int, pipeline: Pipeline) -> None:
        if arguments.html:
            exhibits.extend(collect(missing[number], pipeline, plan.pairs, note=spinner.note))

    def progress(title: str, share: float) -> None:
        is_timed = not title.endswith(": quality")
        spinner.tick(f"{title}: {share:.0%}" if share or not is_timed else f"{title}: warming up", None)

    watchers = Watchers(note=spinner.note, tick=spinner.tick, progress=progress, row=keep, measured=show)
    run_benchmark([specs[number] for number in missing], plan, watchers)
    return filled(), exhibits


def _specs(arguments: argparse.Namespace) -> list[Spec]:
    specs = cross(
        tuple(arguments.model),
        tuple(arguments.precision),
        tuple(arguments.steps),
        tuple(arguments.tile),
        device=arguments.device,
        threads=arguments.threads,
        expects=expectations(arguments),
    )
    if len({str(spec.asked) for spec in specs}) < len(specs):
        raise UsageError("a model is named twice; name each once")
    return specs


def _settings(arguments: argparse.Namespace, pictures: Pictures) -> dict[str, Any]:
    """Return what the figures depend on beside the machine and the rows' own settings."""
    return {
        "pictures": [pair.name for pair in pictures.pairs],
        "pictures_told": pictures.told,
        "downscale": pictures.pairs[0].kernel,
        "timed_pictures": min(len(pictures.pairs), TIMED),
        "duration_s": _duration(arguments),
        "least_count": _count(arguments),
        "warmup_s": arguments.warmup,
        "max_cv_percent": arguments.max_cv,
        "mlperf": arguments.mlperf,
        "power_mode": arguments.power_mode,
    }


def _plan(arguments: argparse.Namespace, pictures: Pictures, stack: ExitStack) -> Plan:
    quality = None
    if arguments.quality:
        lpips = None
        if arguments.lpips:
            from edgesr.bench.metrics import Lpips

            lpips = stack.enter_context(Lpips(arguments.lpips))
        quality = QualityOptions(lpips=lpips)
    return Plan(
        pictures.pairs,
        Protocol(duration=_duration(arguments), least=_count(arguments), warmup=arguments.warmup),
        Limits(cv=arguments.max_cv / 100),
        quality,
        pictures.material,
        streams=arguments.streams,
        mlperf=arguments.mlperf,
        layers=arguments.layers,
        calib=arguments.calib,
    )


def _machine(arguments: argparse.Namespace, nvpmodel: Nvpmodel) -> dict[str, Reading]:
    kind, _, index = arguments.device.partition(":")
    nvml, _why = open_nvml(int(index) if index.isdigit() else 0)
    try:
        return describe_machine(nvml=nvml, nvpmodel=nvpmodel, with_cuda=kind in ("auto", "cuda", "tensorrt"))
    finally:
        if nvml is not None:
            nvml.close()


def _finished(
    arguments: argparse.Namespace, specs: list[Spec], machine: dict[str, Reading], settings: dict[str, Any]
) -> dict[int, Row]:
    if not arguments.resume:
        return {}
    if not arguments.output:
        raise UsageError("--resume goes on with the file of -o FILE; name it")
    found = finished_rows(Path(arguments.output), specs, machine, settings)
    if found:
        note(f"{len(found)} of {len(specs)} rows are taken from {arguments.output}")
    return found


def _duration(arguments: argparse.Namespace) -> float:
    return float(arguments.duration or (SECONDS if arguments.mlperf else 10.0))


def _count(arguments: argparse.Namespace) -> int:
    return int(arguments.count or (64 if arguments.mlperf else 10))


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
