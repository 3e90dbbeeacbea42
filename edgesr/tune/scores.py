"""How near a picture is to the true one: PSNR, SSIM, GMSD and, where its network is given, LPIPS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from edgesr.bench.metrics import Lpips, Pair, gmsd, psnr, ssim
from edgesr.types import Array

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
    """Scores pictures ``(H, W)`` or ``(H, W, C)`` in [0, 1] against the true ones, by the metrics of ``edgesr bench``.

    ``lpips`` is the network that ``python -m export lpips`` writes.
    """

    def __init__(self, lpips: Path | None = None) -> None:
        self._lpips = None if lpips is None else Lpips(lpips)

    def __call__(self, picture: Array, truth: Array) -> Scores:
        """Compare a picture with the true one of its shape; equal ones have 100 dB."""
        pair = Pair.of(picture, truth)
        perceived = None if self._lpips is None else self._lpips(pair)
        return Scores(min(psnr(pair), 100.0), ssim(pair), gmsd(pair), perceived)

    def close(self) -> None:
        """Free the network."""
        if self._lpips is not None:
            self._lpips.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _decades(before: float, after: float) -> float:
    return math.log10(max(before, _LEAST) / max(after, _LEAST))
