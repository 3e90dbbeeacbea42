"""One file through a restorer, band by band, so that pictures larger than memory can be written."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from edgesr import __version__
from edgesr.cli.jobs import Job
from edgesr.cli.output import silence
from edgesr.cli.progress import Progress
from edgesr.errors import BackendError, InputError
from edgesr.image import Metadata, Picture, open_writer, read
from edgesr.image.convert import from_float
from edgesr.image.source import shown
from edgesr.image.writer import RowWriter
from edgesr.pipelines.convention import check_convention
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array


def restore_file(
    job: Job, restorer: PicturePipeline, arguments: argparse.Namespace, progress: Progress | None
) -> dict[str, Any]:
    """Restore ``job.source`` into ``job.target`` and return the record for the manifest."""
    try:
        return _restore(job, restorer, arguments, progress)
    except MemoryError:
        raise InputError(
            f"{shown(job.source)}: there is not enough memory to restore it; use a smaller --tile"
        ) from None
    except BackendError as error:
        raise type(error)(f"{shown(job.source)}: {error}") from error


def _restore(
    job: Job, restorer: PicturePipeline, arguments: argparse.Namespace, progress: Progress | None
) -> dict[str, Any]:
    start = perf_counter()
    with silence(unless=arguments.debug):
        picture = read(job.source, max_pixels=arguments.max_pixels)
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
    on_tile = progress.show if progress is not None else None
    maps: RowWriter | None = None
    with ExitStack() as stack:
        stack.push(lambda kind, error, trace: _discard_map(job, maps) if error else None)
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
        if arguments.uncertainty:
            record["uncertainty"] = str(job.error_map)
            maps = stack.enter_context(_map_writer(job.error_map, picture, scale, restorer))
        for frame in picture.frames:
            _note_convention(record, frame, restorer)
            for band in restorer.bands(frame, uncertainty=arguments.uncertainty, on_tile=on_tile):
                writer.write(band.rows)
                if maps is not None and band.bound is not None:
                    maps.write(from_float(band.bound[..., None], np.dtype(np.uint16)))
        for file in (writer, maps):
            if file is not None:
                file.finish()
    record["seconds"] = round(perf_counter() - start, 4)
    return record


def _note_convention(record: dict[str, Any], frame: Array, restorer: PicturePipeline) -> None:
    """Record whether a frame looks like what the model was made for: the first frame's facts, or a later problem's."""
    checked = check_convention(restorer.descriptor, frame)
    known = record.get("convention")
    if checked is not None and (known is None or (checked.problem and not known["problem"])):
        record["convention"] = asdict(checked)


def _discard_map(job: Job, maps: RowWriter | None) -> None:
    """Take an error map away whose picture could not be written after all."""
    if maps is not None and maps.is_written:
        job.error_map.unlink(missing_ok=True)


def _map_writer(path: Path, picture: Picture, scale: int, restorer: PicturePipeline) -> RowWriter:
    h, w, _ = picture.frames[0].shape
    uncertainty = restorer.descriptor.uncertainty
    coverage = uncertainty.coverage if uncertainty else 0.0
    note = (
        f"predicted bound of the absolute error, 65535 = full range of the picture; calibrated so that it covers "
        f"{coverage:.0%} of the pixels"
    )
    return open_writer(
        path,
        height=h * scale,
        width=w * scale,
        channels=1,
        dtype=np.dtype(np.uint16),
        frames=len(picture.frames),
        metadata=Metadata(format="PNG", text={"Description": note, "Software": f"edgesr {__version__}"}),
    )


def _with_provenance(metadata: Metadata, restorer: PicturePipeline) -> Metadata:
    controls = ", ".join(f"{name}={value}" for name, value in restorer.meta()["controls"].items())
    text = {
        "Software": f"edgesr {__version__}",
        "Comment": f"enlarged x{restorer.scale} by a neural network ({restorer.descriptor.name} "
        f"{restorer.descriptor.version}{', ' + controls if controls else ''}); not a measurement",
    }
    return replace(metadata, text={**metadata.text, **text})


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot make this folder: {error.strerror}; choose another -o") from None
