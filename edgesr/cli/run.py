"""``edgesr run``: pictures in, pictures out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

from edgesr.cli.jobs import Job, plan_jobs
from edgesr.cli.manifest import Manifest
from edgesr.cli.progress import Progress
from edgesr.cli.restore_file import restore_file
from edgesr.errors import EdgesrError, InputError, UsageError
from edgesr.model import DEFAULT_MODEL
from edgesr.pipelines.load import load
from edgesr.pipelines.restore import Restorer

_CONTROLS = ("fidelity", "degradation", "consistency")


def execute(arguments: argparse.Namespace) -> int:
    """Restore every input; return 0, or 6 when some of several failed."""
    if arguments.quality > 100:
        raise UsageError(f"--quality must be between 1 and 100, got {arguments.quality}")
    jobs = plan_jobs(
        arguments.input,
        output=arguments.output,
        suffix=arguments.suffix,
        extension=arguments.format,
        recursive=arguments.recursive,
    )
    start = perf_counter()
    with open_restorer(arguments) as restorer:
        loaded = perf_counter()
        jobs = [job.resolve(restorer.scale) for job in jobs]
        several = len(jobs) > 1 or jobs[0].folder is not None
        records = _run_folder(jobs, restorer, arguments) if several else [_run_one(jobs[0], restorer, arguments)]
    failed = [record for record in records if record["status"] == "failed"]
    if arguments.json:
        document = {"results": records, "failed": len(failed), "load_ms": (loaded - start) * 1e3, **restorer.meta()}
        print(json.dumps(document, indent=2))
    if failed:
        print(f"edgesr: {len(failed)} of {len(records)} pictures failed:", file=sys.stderr)
        for record in failed:
            print(f"  {record['error']}", file=sys.stderr)
    return InputError.exit_code if failed else 0


def open_restorer(arguments: argparse.Namespace) -> Restorer:
    """Load the model that the arguments name, with its controls."""
    controls = {name: getattr(arguments, name) for name in _CONTROLS if getattr(arguments, name) is not None}
    return load(
        arguments.model or os.environ.get("EDGESR_MODEL") or DEFAULT_MODEL,
        arguments.device,
        threads=arguments.threads,
        providers=arguments.provider,
        tile=arguments.tile,
        tta=arguments.tta,
        expects=expectations(arguments),
        **controls,
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


def _run_one(job: Job, restorer: Restorer, arguments: argparse.Namespace) -> dict[str, Any]:
    with Progress("tiles", quiet=arguments.json) as progress:
        record = restore_file(job, restorer, arguments, progress)
    for note in restorer.package.notes:
        print(f"edgesr: {note}", file=sys.stderr)
    if not arguments.json:
        print(record["output"])
        print(_summary(record), file=sys.stderr)
    return record


def _run_folder(jobs: list[Job], restorer: Restorer, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Restore many pictures, going on past bad ones; what the manifest says is done is not done again."""
    folder = jobs[0].folder
    options = {**restorer.meta(), "format": arguments.format, "uncertainty": arguments.uncertainty}
    records = []
    manifest = Manifest(folder, restorer.package.digest, options) if folder else nullcontext()
    with manifest as book, Progress("images", quiet=arguments.json) as progress:
        for index, job in enumerate(jobs):
            record = None if book is None or arguments.restart else book.finished(job)
            if record is None:
                try:
                    record = restore_file(job, restorer, arguments, None)
                except EdgesrError as error:
                    if arguments.debug or not isinstance(error, InputError):
                        raise
                    record = {"input": str(job.source), "status": "failed", "error": " ".join(str(error).split())}
                if book is not None:
                    book.add(job, record)
            records.append(record)
            progress.show(index + 1, len(jobs))
    done = sum(record["status"] == "done" for record in records)
    skipped = sum(record["status"] == "skipped" for record in records)
    where = folder or Path()
    if not arguments.json:
        print(where)
        print(
            f"edgesr: {done} restored, {skipped} already done, {len(records) - done - skipped} failed", file=sys.stderr
        )
    return records


def _summary(record: dict[str, Any]) -> str:
    (h, w), (out_h, out_w) = record["input_size"], record["output_size"]
    text = f"edgesr: {w} x {h} -> {out_w} x {out_h} in {record['seconds']:.2f} s"
    return text + (f", uncertainty in {record['uncertainty']}" if "uncertainty" in record else "")
