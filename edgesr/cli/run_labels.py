"""``edgesr run`` with a model that labels pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from edgesr.cli.jobs import Job
from edgesr.cli.many import Book, Done, work_through
from edgesr.cli.output import note, result, result_json, silence
from edgesr.cli.overlap import Overlap
from edgesr.cli.picked import picked_runtimes
from edgesr.errors import BackendError, InputError, UsageError
from edgesr.image import read
from edgesr.image.output import remove_leftovers
from edgesr.image.source import shown
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.label_result import Classification, Detections, LabelResult, Segmentation

SUFFIXES = {"classify": "_classes", "segment": "_overlay", "detect": "_boxes"}
"""What is added to the name of each output."""
_BAD_PICTURE = (InputError, BackendError)


@dataclass(frozen=True)
class LabelRun:
    """How pictures are labelled; ``say`` takes the lines about each, None where nobody reads them."""

    pipeline: LabelPipeline[Any] | Chain
    arguments: argparse.Namespace
    say: Callable[[str], None] | None

    @property
    def writes(self) -> bool:
        """Whether pictures are written: always for regions and boxes, for classes only where they were asked for."""
        return self.pipeline.task != "classify" or self.arguments.output is not None

    def label(self, job: Job) -> dict[str, Any]:
        """Label one file, write what there is to write, and return its record."""
        start = perf_counter()
        arguments = self.arguments
        try:
            with silence(unless=arguments.debug):
                picture = read(job.source, max_pixels=arguments.max_pixels)
            if len(picture.frames) > 1:
                raise InputError(
                    f"{shown(job.source)}: has {len(picture.frames)} frames; save the one to be labelled as a picture"
                )
            found = self.pipeline(picture.frames[0], metadata=picture.metadata, source=str(job.source))
            record: dict[str, Any] = {"input": str(job.source), "output": None, "status": "done"}
            if self.writes:
                record["output"] = str(_written(job, found, arguments.quality))
            if isinstance(found, Segmentation):
                record["mask"] = str(found.save_mask(job.mask))
        except MemoryError:
            raise InputError(f"{shown(job.source)}: there is not enough memory to label it; make it smaller") from None
        except _BAD_PICTURE as error:
            if str(error).startswith(shown(job.source)):
                raise
            raise type(error)(f"{shown(job.source)}: {error}") from error
        h, w = found.picture.shape[:2]
        record |= {"size": [h, w], **found.predictions(), "timings": dict(found.timings)}
        record["seconds"] = round(perf_counter() - start, 4)
        if self.say is not None:
            self._tell(job, found, record, self.say)
        return record

    def next(self, job: Job) -> Done:
        """Label one of many files; a bad one gives a record too."""
        lines: list[str] = []
        try:
            record = replace(self, say=lines.append).label(job)
        except _BAD_PICTURE as error:
            record = self.failed(job, error)
        return Done(record, tuple(lines))

    def failed(self, job: Job, error: Exception) -> dict[str, Any]:
        """Return the record of a file that could not be labelled."""
        if self.arguments.debug:
            import traceback

            traceback.print_exception(type(error), error, error.__traceback__)
        output = str(job.target) if self.writes else None
        return {"input": str(job.source), "output": output, "status": "failed", "error": str(error)}

    def _tell(self, job: Job, found: LabelResult, record: dict[str, Any], say: Callable[[str], None]) -> None:
        many = len(self.arguments.input) > 1 or job.folder is not None or str(job.source) != self.arguments.input[0]
        prefix = f"{job.source}\t" if many else ""
        if isinstance(found, Classification):
            for _, name, conf in found.top():
                say(f"{prefix}{conf:.4f}\t{name}")
        elif isinstance(found, Detections):
            for box in record["boxes"]:
                corners = " ".join(f"{value:.1f}" for value in box["xyxy"])
                say(f"{prefix}{box['conf']:.4f}\t{box['name']}\t{corners}")
        else:
            for name, area in record["areas"].items():
                say(f"{prefix}{area:.4f}\t{name}")
        times = ", ".join(f"{name} {value:.1f}" for name, value in found.timings.items())
        places = [record[key] for key in ("output", "mask") if record.get(key)]
        written = f"; written to {' and '.join(places)}" if places else ""
        if not many:
            note(f"{times} ms{written}")


def run_labels(
    jobs: list[Job], pipeline: LabelPipeline[Any] | Chain, arguments: argparse.Namespace, *, load_ms: float
) -> int:
    """Label every input; return 0, or 6 when some failed."""
    refuse_foreign_options(pipeline, arguments)
    run = LabelRun(pipeline, arguments, None if arguments.json else result)
    if run.writes:
        for folder in {job.target.resolve().parent for job in jobs if job.target.parent.is_dir()}:
            remove_leftovers(folder)
    is_single = len(jobs) == 1 and jobs[0].folder is None
    if is_single:
        try:
            records = [run.label(jobs[0])]
        except InputError as error:
            records = [run.failed(jobs[0], error)]
    else:
        records = _label_all(jobs, run)
    failed = [record["error"] for record in records if record["status"] == "failed"]
    if arguments.json:
        document = {"results": records, "load_ms": load_ms, **pipeline.meta(), "names": list(pipeline.names)}
        result_json({**document, **picked_runtimes(pipeline), "failed": len(failed)})
    if is_single and failed:
        note(failed[0])
        return InputError.exit_code
    for text in pipeline.notes:
        note(text)
    if not is_single:
        statuses = [record["status"] for record in records]
        note(f"{statuses.count('done')} labelled, {statuses.count('skipped')} already done, {len(failed)} failed")
        for text in failed:
            note(text, prefix="  ")
    return InputError.exit_code if failed else 0


def _label_all(jobs: list[Job], run: LabelRun) -> list[dict[str, Any]]:
    book = Book(run.pipeline.digest, label_options(run.pipeline, run.arguments), run.writes, names_folders=False)
    with Overlap() as overlap:

        def label(job: Job) -> Done:
            with overlap.alone(job.source):
                return run.next(job)

        return work_through(jobs, partial(overlap.map, label), book, run.arguments)


def label_options(pipeline: LabelPipeline[Any] | Chain, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what makes a picture that is done one that need not be done again, beside the model."""
    return {**pipeline.meta(), "format": arguments.format, "quality": arguments.quality}


def _written(job: Job, found: LabelResult, quality: int) -> Path:
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        folder = shown(job.target.parent)
        raise InputError(f"{folder}: cannot make this folder: {error.strerror}; choose another -o") from None
    return found.save(job.target, quality=quality)


def refuse_foreign_options(pipeline: LabelPipeline[Any] | Chain, arguments: argparse.Namespace) -> None:
    """Raise UsageError for an option of restoration."""
    for name in ("uncertainty", "heat_map", "max_residual", "extra_outputs"):
        if getattr(arguments, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} is for restoration; this model has task {pipeline.task}")
