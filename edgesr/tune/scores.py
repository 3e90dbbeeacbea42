"""How near a picture is to the true one: PSNR, SSIM, GMSD and, where its network is given, LPIPS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.compile.quality import compare
from edgesr.engines import open_backend
from edgesr.errors import BackendError, ModelError
from edgesr.types import Array

_C = 170.0 / 255.0**2
"""Of Xue et al. 2014, for values in [0, 1]."""
_LEAST = 1e-12


@dataclass(frozen=True)
class Scores:
    """Of one picture, or the means of several."""

    psnr: float
    """Decibels, the higher the better."""
    ssim: float
    """The higher the better."""
    gmsd: float
    """Gradient magnitude similarity deviation, the lower the better."""
    lpips: float | None = None
    """The lower the better; None where no network was given."""

    @classmethod
    def mean(cls, scores: Sequence[Scores]) -> Scores:
        """Return the means; of LPIPS where all have it."""
        perceived = [s.lpips for s in scores if s.lpips is not None]
        return cls(
            float(np.mean([s.psnr for s in scores])),
            float(np.mean([s.ssim for s in scores])),
            float(np.mean([s.gmsd for s in scores])),
            float(np.mean(perceived)) if len(perceived) == len(scores) else None,
        )

    def misses(self, reference: Scores) -> list[str]:
        """Say in what these are worse than ``reference``."""
        found = []
        if self.psnr < reference.psnr:
            found.append(f"PSNR {self.psnr:.3f} is below {reference.psnr:.3f} dB")
        if self.ssim < reference.ssim:
            found.append(f"SSIM {self.ssim:.5f} is below {reference.ssim:.5f}")
        if self.gmsd > reference.gmsd:
            found.append(f"GMSD {self.gmsd:.5f} is above {reference.gmsd:.5f}")
        if self.lpips is not None and reference.lpips is not None and self.lpips > reference.lpips:
            found.append(f"LPIPS {self.lpips:.4f} is above {reference.lpips:.4f}")
        return found

    def gain(self, reference: Scores) -> float:
        """Return how much better these are, 0 for equal ones.

        The logarithm of the ratio of errors, half of it distortion (squared error and 1 - SSIM), half of it perception
        (LPIPS where it is known, else GMSD).
        """
        squared = (self.psnr - reference.psnr) / 10.0
        structure = _decades(1.0 - reference.ssim, 1.0 - self.ssim)
        if self.lpips is not None and reference.lpips is not None:
            perceived = _decades(reference.lpips, self.lpips)
        else:
            perceived = _decades(reference.gmsd, self.gmsd)
        return 0.25 * squared + 0.25 * structure + 0.5 * perceived


class Scorer:
    """Scores pictures ``(H, W)`` or ``(H, W, C)`` in [0, 1] against the true ones.

    ``lpips`` is an ONNX file with two inputs, pictures ``(1, 3, H, W)`` or ``(1, 1, H, W)`` in [-1, 1], and one output,
    their distance.
    """

    def __init__(self, lpips: Path | None = None) -> None:
        self._lpips = None if lpips is None else _Lpips(lpips)

    def __call__(self, picture: Array, truth: Array) -> Scores:
        """Compare a picture with the true one of its shape."""
        difference = compare(picture, truth)
        perceived = None if self._lpips is None else self._lpips(picture, truth)
        return Scores(min(difference.psnr, 100.0), difference.ssim, gmsd(picture, truth), perceived)


def gmsd(picture: Array, truth: Array) -> float:
    """Return the gradient magnitude similarity deviation of two pictures in [0, 1], averaged over channels.

    Xue, Zhang, Mou and Bovik 2014: Prewitt gradients of pictures averaged over 2 x 2 pixels and halved; the standard
    deviation of their similarity. 0 for equal pictures. Pictures under 4 pixels are too small: 0.
    """
    first, second = (_magnitudes(np.atleast_3d(p).astype(np.float64)) for p in (picture, truth))
    if not first.size:
        return 0.0
    similarity = (2.0 * first * second + _C) / (first**2 + second**2 + _C)
    return float(similarity.std(axis=(0, 1)).mean())


class _Lpips:
    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelError(f"{path}: there is no such file; give an exported LPIPS network")
        self._backend = open_backend("cpu")
        self._engine = self._backend.load(path)
        shapes = [spec.shape for spec in self._engine.inputs.values()]
        if len(shapes) != 2 or len(self._engine.outputs) != 1 or any(len(s) != 4 or s[1] not in (1, 3) for s in shapes):
            raise ModelError(
                f"{path}: an LPIPS network has two inputs, pictures of 1 or 3 channels in [-1, 1], and one output; "
                f"this one has {', '.join(f'{k} {list(v.shape)}' for k, v in self._engine.inputs.items())}"
            )
        self._path = path
        self._channels = shapes[0][1]

    def __call__(self, picture: Array, truth: Array) -> float:
        buffers = {}
        for (name, spec), pixels in zip(self._engine.inputs.items(), (picture, truth), strict=True):
            values = np.atleast_3d(pixels).transpose(2, 0, 1)[None].astype(np.float32) * 2.0 - 1.0
            if values.shape[1] != self._channels:
                values = np.repeat(values.mean(axis=1, keepdims=True), self._channels, axis=1)
            buffers[name] = self._backend.empty(values.shape, spec.dtype)
            buffers[name].copy_from(np.ascontiguousarray(values, spec.dtype))
        try:
            (made,) = self._engine.run(buffers).values()
        except BackendError as error:
            raise ModelError(f"{self._path}: LPIPS does not run on pictures of {picture.shape[:2]}: {error}") from None
        return float(np.mean(made.numpy()))


def _magnitudes(planes: Array) -> Array:
    """Return Prewitt gradients ``(h, w, C)`` of every second 2 x 2 mean, without borders."""
    means = (planes[:-1, :-1] + planes[1:, :-1] + planes[:-1, 1:] + planes[1:, 1:])[::2, ::2] / 4.0
    if min(means.shape[:2]) < 3:
        return np.empty((0, 0, planes.shape[2]))
    columns = (means[:, 2:] - means[:, :-2]) / 3.0
    rows = (means[2:] - means[:-2]) / 3.0
    across = columns[:-2] + columns[1:-1] + columns[2:]
    down = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return np.asarray(np.hypot(across, down))


def _decades(before: float, after: float) -> float:
    return math.log10(max(before, _LEAST) / max(after, _LEAST))
