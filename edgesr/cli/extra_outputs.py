"""The files that hold what a network gives beside the picture, such as the parts of a face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgesr.cli.jobs import Job
from edgesr.errors import InputError
from edgesr.image import Picture, write
from edgesr.image.convert import from_float
from edgesr.image.source import shown
from edgesr.model.atomic import replacing
from edgesr.types import Array, FloatArray


class ExtraOutputs:
    """Collects further outputs band by band; each becomes a ``.npy`` file of its numbers and a picture to look at."""

    def __init__(self, job: Job, frames: int) -> None:
        if frames > 1:
            raise InputError(
                f"{shown(job.source)}: has {frames} frames; --extra-outputs takes pictures of one, save it by itself"
            )
        self._job = job
        self._bands: dict[str, list[FloatArray]] = {}

    def add(self, outputs: Mapping[str, FloatArray]) -> None:
        """Append what belongs to the next rows of the picture."""
        for name, rows in outputs.items():
            self._bands.setdefault(name, []).append(rows)

    def write(self) -> dict[str, list[str]]:
        """Write ``STEM_NAME.npy``, float32 ``(H, W, C)``, and ``STEM_NAME.png``; return the paths by name."""
        written = {}
        for name, bands in self._bands.items():
            values, paths = np.concatenate(bands), self._job.extra_paths[name]
            _save(paths[0], values)
            write(paths[1], Picture((visible(values),)))
            written[name] = [str(path) for path in paths]
        return written


def visible(values: FloatArray) -> Array:
    """Return ``(H, W, 1)`` to look at: of several channels the number of the strongest, uint8 or uint16; of one channel
    the values in [0, 1] as uint16.
    """
    if values.shape[2] == 1:
        return from_float(values, np.dtype(np.uint16))
    best: Array = values.argmax(axis=2)[..., np.newaxis]
    return best.astype(np.uint8 if values.shape[2] <= 256 else np.uint16)


def _save(path: Path, values: FloatArray) -> None:
    try:
        with replacing(path) as stream:
            np.save(stream, values)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be written: {error.strerror or error}; choose another -o") from None
