"""The perceptual distance LPIPS through an exported network."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np

from edgesr.bench.metrics.planes import Pair
from edgesr.engines import open_backend
from edgesr.errors import InputError, ModelError
from edgesr.types import FloatArray

INPUTS = ("image", "reference")
OUTPUT = "distance"
SMALLEST = 31
"""Pixels that a side needs, so that the last features of AlexNet are not empty."""


class Lpips:
    """LPIPS v0.1 (Zhang et al. 2018) on a device; the file is made by ``python -m export lpips``.

    The network takes ``image`` and ``reference``, float32 ``(1, 3, H, W)`` RGB in [0, 1], and gives ``distance``.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        file = Path(path)
        if not file.is_file():
            raise ModelError(f"{file}: there is no such LPIPS network; make one with python -m export lpips")
        self._backend = open_backend(device)
        self._engine = self._backend.load(file)
        if set(self._engine.inputs) != set(INPUTS) or OUTPUT not in self._engine.outputs:
            named = ", ".join([*self._engine.inputs, *self._engine.outputs])
            self._backend.close()
            raise ModelError(
                f"{file}: an LPIPS network has the inputs image, reference and the output distance, not {named}; make "
                "one with python -m export lpips"
            )

    def __call__(self, pair: Pair) -> float:
        """Return the distance of two pictures, 0 for equal ones; grey is repeated for red, green and blue."""
        height, width = pair.image.shape[:2]
        if min(height, width) < SMALLEST:
            raise InputError(f"LPIPS needs {SMALLEST} pixels on each side, got {width} x {height} without borders")
        buffers = {}
        for name, picture in zip(INPUTS, (pair.image, pair.reference), strict=True):
            values = _planes(picture / pair.data_range)
            buffers[name] = self._backend.empty(values.shape, values.dtype)
            buffers[name].copy_from(values)
        return float(self._engine.run(buffers)[OUTPUT].numpy().reshape(-1)[0])

    def close(self) -> None:
        """Free the network."""
        self._backend.close()

    def __enter__(self) -> Lpips:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _planes(picture: FloatArray | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> FloatArray:
    values: FloatArray = np.broadcast_to(picture, (*picture.shape[:2], 3)).astype(np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis])
