"""One file through a restorer, band by band, so that pictures larger than memory can be written."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from edgesr import __version__
from edgesr.cli.error_maps import ErrorMaps
from edgesr.cli.extra_outputs import ExtraOutputs
from edgesr.cli.jobs import Job
from edgesr.cli.output import silence
from edgesr.errors import BackendError, InputError
from edgesr.image import Metadata, open_writer, read
from edgesr.image.measurement import ResidualMeter, colors_of
from edgesr.image.provenance import joined, provenance_text, residual_text
from edgesr.image.source import shown
from edgesr.image.writer import RowWriter
from edgesr.pipelines.convention import check_convention
from edgesr.pipelines.pipeline import PicturePipeline, check_residual
from edgesr.types import Array

Gate = Callable[[Path], AbstractContextManager[Callable[[int], None]]]
"""Waits until a picture may be worked on, by its file; gives what waits again once its number of pixels is known."""


def no_gate(source: Path) -> AbstractContextManager[Callable[[int], None]]:
    """Let every picture through at once."""
    return nullcontext(lambda pixels: None)


def restore_file(
    job: Job,
    restorer: PicturePipeline,
    arguments: argparse.Namespace,
    *,
    on_tile: Callable[[int, int], None] | None = None,
    gate: Gate = no_gate,
) -> dict[str, Any]:
    """Restore ``job.source`` into ``job.target`` and return the record for the manifest."""
    try:
        with gate(job.source) as wait:
            return _restore(job, restorer, arguments, on_tile, wait)
    except MemoryError:
        raise InputError(
            f"{shown(job.source)}: there is not enough memory to restore it; use a smaller --tile"
        ) from None
    except BackendError as error:
        raise type(error)(f"{shown(job.source)}: {error}") from error


def _restore(
    job: Job,
    restorer: PicturePipeline,
    arguments: argparse.Namespace,
    on_tile: Callable[[int, int], None] | None,
    wait: Callable[[int], None],
) -> dict[str, Any]:
    start = perf_counter()
    with silence(unless=arguments.debug):
        picture = read(job.source, max_pixels=arguments.max_pixels)
    wait(sum(frame.shape[0] * frame.shape[1] for frame in picture.frames))
    _make_folder(job.target.parent)
    first = picture.frames[0]
    h, w, channels = first.shape
    scale = restorer.scale
    record: dict[str, Any] = {
        "input": str(job.source),
        "output": str(job.target),
        "status": "done",
        "input_size": [h, w],
        "output_size": [h * scale, w * scale],
        "dtype": str(first.dtype),
        "channels": channels,
        "frames": len(picture.frames),
    }
    asked = arguments.uncertainty or arguments.heat_map or (arguments.samples or 0) > 1
    with ExitStack() as stack:
        maps: ErrorMaps | None = None
        stack.push(lambda kind, error, trace: maps.discard() if error and maps is not None else None)
        writer = stack.enter_context(
            open_writer(
                job.target,
                height=h * scale,
                width=w * scale,
                channels=channels,
                dtype=first.dtype,
                frames=len(picture.frames),
                metadata=_with_provenance(picture.metadata, restorer),
                quality=arguments.quality,
            )
        )
        if asked:
            with_map = arguments.uncertainty or (arguments.samples or 0) > 1
            maps = stack.enter_context(
                ErrorMaps(job, picture, restorer, with_map=with_map, with_heat=arguments.heat_map)
            )
            record |= {"uncertainty": str(job.error_map)} if with_map else {}
            record |= {"heat_map": str(job.heat_map)} if arguments.heat_map else {}
        further = ExtraOutputs(job, len(picture.frames)) if job.extra else None
        for frame in picture.frames:
            _note_convention(record, frame, restorer)
            meter = _meter(frame, restorer, arguments)
            bands = restorer.bands(frame, uncertainty=asked, extra_outputs=bool(job.extra), on_tile=on_tile)
            for band in bands:
                if meter is not None:
                    meter.add(band.rows[..., : colors_of(frame)])
                    if meter.is_complete:
                        _judge(meter.residual, record, writer, arguments)
                writer.write(band.rows)
                if maps is not None:
                    maps.write(band.rows, band.bound)
                if further is not None:
                    further.add(band.extra)
                del band  # or it would stay beside the next one
        if further is not None:
            record["extra_outputs"] = further.write()
        writer.finish()
        if maps is not None:
            maps.finish()
    record["seconds"] = round(perf_counter() - start, 4)
    return record


def _note_convention(record: dict[str, Any], frame: Array, restorer: PicturePipeline) -> None:
    """Record whether a frame looks like what the model was made for: the first frame's facts, or a later problem's."""
    checked = check_convention(restorer.descriptor, frame)
    known = record.get("convention")
    if checked is not None and (known is None or (checked.problem and not known["problem"])):
        record["convention"] = asdict(checked)


def _meter(frame: Array, restorer: PicturePipeline, arguments: argparse.Namespace) -> ResidualMeter | None:
    """Return what measures a result against its frame, None where nobody asks or the model names no downscaler."""
    kernels = restorer.kernels()
    if arguments.max_residual is not None and not kernels:
        check_residual(None, arguments.max_residual, restorer.descriptor.name)
    if not kernels or not (restorer.is_generative or arguments.max_residual is not None):
        return None
    return ResidualMeter(frame[..., : colors_of(frame)], restorer.scale, kernels)


def _judge(found: float, record: dict[str, Any], writer: RowWriter, arguments: argparse.Namespace) -> None:
    """Write the residual of a frame into record and file; raise AccuracyError above the limit."""
    record["residual"] = max(round(found, 4), record.get("residual", 0.0))
    if arguments.max_residual is not None:
        check_residual(found, arguments.max_residual, record["input"])
    writer.describe(residual_text(found))


def _with_provenance(metadata: Metadata, restorer: PicturePipeline) -> Metadata:
    meta, software = restorer.meta(), f"edgesr {__version__}"
    text = provenance_text(meta["model"], meta["version"], meta["scale"], meta["controls"], software=software)
    return replace(metadata, text=joined(metadata.text, text))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot make this folder: {error.strerror}; choose another -o") from None
