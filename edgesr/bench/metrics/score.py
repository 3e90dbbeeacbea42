"""All figures of one restored picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgesr.bench.metrics.figures import COMPUTE, Subject, check_metrics
from edgesr.bench.metrics.planes import Channel, Pair
from edgesr.errors import InputError
from edgesr.image.resample import KERNELS, Kernel
from edgesr.types import Array


@dataclass(frozen=True)
class Scores:
    """The figures of one picture."""

    values: dict[str, float]
    missing: dict[str, str]
    """Why a figure is not there, by its name."""


def score(
    restored: Array, reference: Array | None = None, low: Array | None = None, **options: Any
) -> dict[str, float]:
    """Return what can be said about a restored picture, by the names of `METRICS`; options as `measure_scores`."""
    return measure_scores(restored, reference, low, **options).values


def measure_scores(
    restored: Array,
    reference: Array | None = None,
    low: Array | None = None,
    *,
    fp32: Array | None = None,
    border: int = 0,
    data_range: float | None = None,
    channel: Channel = "rgb",
    kernels: Sequence[Kernel] = KERNELS,
    lpips: Callable[[Pair], float] | None = None,
    metrics: Sequence[str] | None = None,
) -> Scores:
    """Compare a restored picture with its reference, with its low resolution, and with what FP32 made of it.

    Pictures are ``(H, W)`` or ``(H, W, C)`` in RGB order, uint8, uint16 or float in [0, 1]; with ``data_range``, on a
    scale of that length. ``border`` pixels are left out on each side, but not of the grid index, the residual and the
    comparison with FP32, which are about whole pictures. ``psnr``, ``ssim`` and ``ms_ssim`` are of ``channel``; colour
    pictures get ``psnr_y`` and ``ssim_y`` beside those of RGB. ``kernels`` are the downscalers that may have made
    ``low``; the one that fits best counts. ``metrics`` chooses some. What cannot be measured is named with its
    reason; pictures of different sizes are an InputError.
    """
    subject = Subject(restored, reference, low, fp32, border, data_range, channel, kernels, lpips)
    if reference is not None:
        _ = subject.pair
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name in check_metrics(metrics):
        if name in ("psnr_y", "ssim_y") and (channel == "y" or not subject.has_color):
            continue
        if name == "psnr_fp32" and fp32 is None and metrics is None:
            continue
        try:
            value = COMPUTE[name](subject)
        except InputError as error:
            missing[name] = str(error)
            continue
        if math.isnan(value):
            missing[name] = "is not defined for this picture"
        else:
            values[name] = value
    return Scores(values, missing)
