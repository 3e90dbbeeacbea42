"""The accuracy gate: nothing is written that differs from the FP32 network by more than was allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesr.compile.compare import compare_networks
from edgesr.compile.feeds import Feed
from edgesr.compile.graph import Graph
from edgesr.compile.quality import Difference, compare
from edgesr.errors import AccuracyError, BackendError
from edgesr.types import Array


@dataclass(frozen=True)
class Thresholds:
    """What a network of lower precision must reach against FP32 on every picture; None asks for nothing."""

    min_psnr: float | None = None
    """Decibels."""
    min_ssim: float | None = None
    max_abs: float | None = None
    """Fraction of the full range."""
    min_agreement: float | None = None
    """Of networks that label pictures, in the metric of their task: 0 to 1."""


DEFAULTS = {
    "fp32": Thresholds(100.0, 0.99999, 1e-3),
    "fp16": Thresholds(60.0, 0.999, 0.05),
    "bf16": Thresholds(48.0, 0.99, None),
    "int8": Thresholds(38.0, 0.95, None),
}
"""By precision; one grey level of 8 bits everywhere is 48 dB."""
LABEL_DEFAULTS = {
    "fp32": Thresholds(100.0, None, 1e-3, 1.0),
    "fp16": Thresholds(40.0, None, 0.05, 0.98),
    "int8": Thresholds(25.0, None, None, 0.9),
}
"""The same for networks that label pictures, whose outputs are compared against their largest value.

The agreement is what counts. FP16 rounds to 66 dB at a time, and fifty layers of a ResNet50 leave some 47.
"""


@dataclass(frozen=True)
class Picture:
    """A picture to compare on."""

    name: str
    pixels: Array
    """As the pipeline takes it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values of the model's controls, where they are not the default."""


Run = Callable[[Picture], Array]
"""A whole pipeline: a picture in, float pixels in [0, 1] out."""


@dataclass(frozen=True)
class Agreement:
    """How far two forms of a network that labels pictures say the same."""

    metric: str
    """``top-1 agreement``, ``mIoU agreement`` or ``box agreement``."""
    value: float
    """0 to 1."""
    worst_picture: str
    """Where they agree least."""

    def told(self) -> str:
        """Say it for people."""
        return f"{self.metric} {self.value:.4f}" + (f" (least on {self.worst_picture})" if self.value < 1 else "")


@dataclass(frozen=True)
class Verdict:
    """The comparison of all pictures."""

    pictures: tuple[tuple[str, Difference], ...]
    agreement: Agreement | None = None
    """Of networks that label pictures, where FP32 finds anything to agree with."""

    @property
    def worst(self) -> tuple[str, Difference]:
        """Name and difference of the picture with the lowest PSNR."""
        return min(self.pictures, key=lambda entry: (entry[1].psnr, entry[1].ssim))

    def failures(self, thresholds: Thresholds) -> list[str]:
        """Say what missed its threshold, worst value first named with its picture."""
        found = []
        name, lowest = self.worst
        if lowest.psnr == -math.inf:
            return [f"it gives NaN or infinite values on {name}"]
        if thresholds.min_psnr is not None and not lowest.psnr >= thresholds.min_psnr:
            found.append(f"PSNR {lowest.psnr:.1f} dB is below {thresholds.min_psnr:g} dB on {name}")
        name, lowest = min(self.pictures, key=lambda entry: entry[1].ssim)
        if thresholds.min_ssim is not None and not lowest.ssim >= thresholds.min_ssim:
            found.append(f"SSIM {lowest.ssim:.5f} is below {thresholds.min_ssim:g} on {name}")
        name, lowest = max(self.pictures, key=lambda entry: entry[1].max_abs)
        if thresholds.max_abs is not None and not lowest.max_abs <= thresholds.max_abs:
            found.append(f"the largest difference {lowest.max_abs:.4f} is above {thresholds.max_abs:g} on {name}")
        agreed, least = self.agreement, thresholds.min_agreement
        if agreed is not None and least is not None and not agreed.value >= least:
            found.append(f"the {agreed.metric} {agreed.value:.4f} is below {least:g}, least on {agreed.worst_picture}")
        return found


def compare_pictures(candidate: Run, pictures: Sequence[Picture], expected: Sequence[Array]) -> Verdict:
    """Run every picture through a pipeline and compare; one that yields no numbers has a PSNR of minus infinity."""
    results = []
    for picture, reference in zip(pictures, expected, strict=True):
        try:
            difference = compare(candidate(picture), reference)
        except BackendError:
            difference = Difference(-np.inf, 0.0, np.inf)
        results.append((picture.name, difference))
    return Verdict(tuple(results))


def require(
    verdict: Verdict, thresholds: Thresholds, *, what: str, worst_layer: Callable[[], str | None], tried: str = ""
) -> None:
    """Raise AccuracyError, with the worst picture and the worst layer, when a threshold is missed.

    ``tried`` says what did not help.
    """
    failures = verdict.failures(thresholds)
    if failures:
        layer = worst_layer()
        where = (f"; the layer that loses most is {layer!r}" if layer else "") + (f"; {tried}" if tried else "")
        raise AccuracyError(
            f"{what} missed its accuracy gate: {'; '.join(failures)}{where}; nothing was written; "
            f"keep layers out with --exclude, or allow more with {', '.join(_options(thresholds))}"
        )


def _options(thresholds: Thresholds) -> list[str]:
    is_label = thresholds.min_agreement is not None
    return ["--min-psnr", "--max-abs", "--min-agreement"] if is_label else ["--min-psnr", "--min-ssim", "--max-abs"]


def find_worst_layer(reference: Graph, candidate: Graph, feed: Feed, *, among: Collection[str]) -> str | None:
    """Return at which node ``among`` those of lower precision the error, relative to the signal, grows most.

    ``candidate`` is the typed network or what imitates it; both get the same feed.
    """
    comparison = compare_networks(reference, candidate, [feed], precisions={})
    return next((layer.layer for layer in comparison.worst(len(comparison.layers)) if layer.layer in among), None)
