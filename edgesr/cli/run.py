"""``edgesr run``: pictures in, pictures out; what moves goes to ``edgesr.cli.live``."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from edgesr.cli.jobs import Job, drawn_jobs, plan_jobs, resolve_jobs
from edgesr.cli.label_options import thresholds
from edgesr.cli.live_options import refuse_live_options
from edgesr.cli.many import Book, Done, work_through
from edgesr.cli.output import note, result, result_json
from edgesr.cli.overlap import Overlap
from edgesr.cli.picked import picked_runtimes
from edgesr.cli.progress import Progress
from edgesr.cli.ray_options import refuse_ray_options
from edgesr.cli.restore_file import restore_file
from edgesr.cli.spinner import Spinner
from edgesr.errors import AccuracyError, BackendError, InputError, UsageError
from edgesr.image.output import remove_leftovers
from edgesr.media.parse import is_media
from edgesr.model import DEFAULT_MODEL
from edgesr.pipelines.load import Pipeline, load
from edgesr.pipelines.pipeline import PicturePipeline

_CONTROLS = ("fidelity", "degradation", "consistency", "steps", "sampler", "seed", "strength", "samples")
_BAD_PICTURE = (InputError, BackendError, AccuracyError)
"""What one picture can fail with while the next may succeed."""


def execute(arguments: argparse.Namespace) -> int:
    """Restore every input; return 0, or 6 when some failed, 5 when all that failed missed an accuracy gate."""
    if any(is_media(text) for text in (*arguments.input, arguments.output or "")):
        if arguments.ray is not None:
            raise UsageError("--ray is for many pictures; run a camera, a stream or a video without it")
        from edgesr.cli.live import execute_live

        return execute_live(arguments)
    refuse_live_options(arguments)
    if arguments.ray is not None:
        from edgesr.cli.run_ray import execute_ray

        return execute_ray(arguments)
    refuse_ray_options(arguments)
    jobs = plan_jobs(
        arguments.input,
        output=arguments.output,
        suffix=arguments.suffix,
        extension=arguments.format,
        recursive=arguments.recursive,
    )
    start = perf_counter()
    with open_pipeline(arguments) as restorer:
        load_ms = (perf_counter() - start) * 1e3
        if not isinstance(restorer, PicturePipeline):
            from edgesr.cli.run_labels import SUFFIXES, run_labels

            jobs = drawn_jobs(jobs, output=arguments.output, extension=arguments.format)
            jobs = resolve_jobs(jobs, SUFFIXES[restorer.task])
            return run_labels(jobs, restorer, arguments, load_ms=load_ms)
        jobs = resolve_jobs(jobs, f"_x{restorer.scale}", extra_outputs(restorer, arguments))
        for folder in {Path(os.path.realpath(job.target)).parent for job in jobs}:
            remove_leftovers(folder)
        is_single = len(jobs) == 1 and jobs[0].folder is None
        restore = _restore_one if is_single else _restore_all
        records = restore(jobs, restorer, arguments)
        document = {"results": records, "load_ms": load_ms, **restorer.meta(), **picked_runtimes(restorer)}
        notes = restorer.notes
    failed = [record["error"] for record in records if record["status"] == "failed"]
    if arguments.json:
        result_json({**document, "failed": len(failed)})
    if is_single and failed:
        note(failed[0])
        return exit_code(records)
    for text in (*notes, *misfits(records)):
        note(text)
    if not is_single:
        summarise(records)
    return exit_code(records)


def extra_outputs(restorer: PicturePipeline, arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of the outputs that are written beside the picture; raise UsageError where it has none."""
    if arguments.extra_outputs and not restorer.extra_outputs:
        raise UsageError(
            f"model {restorer.descriptor.name} has no outputs beside the picture; leave --extra-outputs out"
        )
    return restorer.extra_outputs if arguments.extra_outputs else ()


def exit_code(records: list[dict[str, Any]]) -> int:
    """Return 0, or 6 when some failed, 5 when all that failed missed an accuracy gate."""
    codes = {record.get("exit_code", InputError.exit_code) for record in records if record["status"] == "failed"}
    return 0 if not codes else AccuracyError.exit_code if codes == {AccuracyError.exit_code} else InputError.exit_code


def open_pipeline(arguments: argparse.Namespace) -> Pipeline:
    """Load the model that the arguments name, with its controls and thresholds."""
    controls = {name: getattr(arguments, name) for name in _CONTROLS if getattr(arguments, name) is not None}
    with Spinner(quiet=arguments.json) as spinner:
        return load(
            arguments.model or os.environ.get("EDGESR_MODEL") or DEFAULT_MODEL,
            arguments.device,
            threads=arguments.threads,
            providers=arguments.provider,
            precision=arguments.precision,
            tile=arguments.tile,
            tta=arguments.tta,
            expects=expectations(arguments),
            note=spinner.note,
            tick=spinner.tick,
            **controls,
            **thresholds(arguments),
        )


def expectations(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the user says about a bare ONNX file."""
    given = {
        "range": arguments.range,
        "layout": arguments.layout,
        "color": arguments.channel_order,
        "scale": arguments.scale,
    }
    return {name: value for name, value in given.items() if value is not None}


def _restore_one(jobs: list[Job], restorer: PicturePipeline, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    (job,) = jobs
    try:
        with Progress(restorer.unit, quiet=arguments.json) as progress:
            record = restore_file(job, restorer, arguments, on_tile=progress.show)
    except (InputError, AccuracyError) as error:
        return [_failed(job, error, arguments)]
    if not arguments.json:
        result(record["output"])
        (h, w), (out_h, out_w) = record["input_size"], record["output_size"]
        told = f", residual {record['residual']:.2f} grey levels" if "residual" in record else ""
        told += "".join(
            f", {name.replace('_', ' ')} in {record[name]}" for name in ("uncertainty", "heat_map") if name in record
        )
        told += "".join(f", {name} in {' and '.join(paths)}" for name, paths in record.get("extra_outputs", {}).items())
        note(f"{w} x {h} -> {out_w} x {out_h} in {record['seconds']:.2f} s{told}")
    return [record]


def _restore_all(jobs: list[Job], restorer: PicturePipeline, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Restore many pictures, going on past bad ones; what a manifest says is done is not done again."""
    book = Book(restorer.package.digest, manifest_options(restorer, arguments))
    with Overlap() as overlap:

        def restore(job: Job) -> Done:
            return Done(restore_any(job, restorer, arguments, on_tile=overlap.check, gate=overlap.alone))

        return work_through(jobs, partial(overlap.map, restore), book, arguments)


def manifest_options(restorer: PicturePipeline, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what makes a picture that is done one that need not be done again, beside the model."""
    return {
        **restorer.meta(),
        "format": arguments.format,
        "quality": arguments.quality,
        "uncertainty": arguments.uncertainty,
        "heat_map": arguments.heat_map,
        "extra_outputs": arguments.extra_outputs,
        "max_residual": arguments.max_residual,
    }


def restore_any(job: Job, restorer: PicturePipeline, arguments: argparse.Namespace, **how: Any) -> dict[str, Any]:
    """Restore one of many pictures, ``how`` as for ``restore_file``, and return its record, also that of a bad one."""
    try:
        return restore_file(job, restorer, arguments, **how)
    except _BAD_PICTURE as error:
        return _failed(job, error, arguments)


def _failed(job: Job, error: Exception, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.debug:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)
    kind = AccuracyError if isinstance(error, AccuracyError) else InputError
    record = {"input": str(job.source), "output": str(job.target), "status": "failed", "error": str(error)}
    return {**record, "exit_code": kind.exit_code}


def misfits(records: list[dict[str, Any]]) -> list[str]:
    """Return one note about the pictures of this run that do not look like what the model was made for."""
    found = [record for record in records if record["status"] == "done" and "convention" in record]
    found = [record for record in found if record["convention"]["problem"]]
    if not found:
        return []
    first = f"{found[0]['input']}: {found[0]['convention']['problem']}"
    if len(found) == 1:
        return [f"{first}; trust its fine detail less"]
    return [f"{len(found)} pictures do not look like what the model was made for; {first}; see convention in --json"]


def summarise(records: list[dict[str, Any]], verb: str = "restored") -> None:
    """Say how many pictures are done, and which are not and why."""
    statuses = [record["status"] for record in records]
    failed = [record["error"] for record in records if record["status"] == "failed"]
    note(f"{statuses.count('done')} {verb}, {statuses.count('skipped')} already done, {len(failed)} failed")
    for error in failed:
        note(error, prefix="  ")
