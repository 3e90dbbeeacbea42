"""Which figures there are, how they are read, and how each is computed of one restored picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from edgesr.bench.metrics.detail import detail_precision, grid_index
from edgesr.bench.metrics.fidelity import psnr
from edgesr.bench.metrics.planes import Channel, Pair, colors, luma, values_of
from edgesr.bench.metrics.structure import gmsd, ms_ssim, ssim
from edgesr.errors import InputError, UsageError
from edgesr.image.measurement import residual
from edgesr.image.resample import Kernel, upscale
from edgesr.model.schema import suggest
from edgesr.types import Array


@dataclass(frozen=True)
class Metric:
    """What a figure is called and how it is read."""

    title: str
    unit: str
    better: Literal["higher", "lower", "one"]
    """``one``: the nearer to 1 the better."""
    digits: int
    """Decimals in tables."""


METRICS: Mapping[str, Metric] = {
    "psnr": Metric("PSNR", "dB", "higher", 2),
    "ssim": Metric("SSIM", "", "higher", 4),
    "psnr_y": Metric("PSNR-Y", "dB", "higher", 2),
    "ssim_y": Metric("SSIM-Y", "", "higher", 4),
    "ms_ssim": Metric("MS-SSIM", "", "higher", 4),
    "gmsd": Metric("GMSD", "", "lower", 4),
    "lpips": Metric("LPIPS", "", "lower", 4),
    "detail_precision": Metric("detail precision", "", "higher", 3),
    "grid_index": Metric("grid index", "", "one", 2),
    "residual": Metric("residual", "levels of 255", "lower", 3),
    "psnr_fp32": Metric("PSNR to FP32", "dB", "higher", 2),
}
"""Every figure by its name, in the order of tables."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One restored picture and what it can be compared with; see `edgesr.bench.metrics.score`."""

    restored: Array
    reference: Array | None
    low: Array | None
    fp32: Array | None
    border: int
    data_range: float | None
    channel: Channel
    kernels: Sequence[Kernel]
    lpips: Callable[[Pair], float] | None

    @property
    def has_color(self) -> bool:
        """Whether there is a luma beside the channels."""
        channels: int = colors(self.restored).shape[2]
        return channels == 3

    @cached_property
    def pair(self) -> Pair:
        """The picture beside its reference, in the chosen channel."""
        return self._paired(self.channel)

    @cached_property
    def pair_y(self) -> Pair:
        """The luma beside the reference's."""
        return self._paired("y")

    @cached_property
    def pair_rgb(self) -> Pair:
        """All channels beside the reference's, for metrics that look at colours."""
        return self.pair if self.channel == "rgb" else self._paired("rgb")

    @cached_property
    def small(self) -> Array:
        """The low-resolution picture, float32 ``(h, w, C)`` in [0, 1] or stored pixels."""
        if self.low is None:
            raise InputError("needs the low-resolution picture")
        return colors(self.low)

    @cached_property
    def scale(self) -> int:
        """By how much the picture was enlarged."""
        large: tuple[int, ...] = self.restored.shape[:2]
        small: tuple[int, ...] = self.small.shape[:2]
        scale = large[0] // small[0]
        if scale < 2:
            raise InputError("needs a restoration that enlarges")
        if large != (small[0] * scale, small[1] * scale):
            raise InputError(f"{large[1]} x {large[0]} is no multiple of the input's {small[1]} x {small[0]}")
        return scale

    def _paired(self, channel: Channel) -> Pair:
        if self.reference is None:
            raise InputError("needs a reference picture")
        return Pair.of(self.restored, self.reference, border=self.border, data_range=self.data_range, channel=channel)


def check_metrics(chosen: Sequence[str] | None) -> tuple[str, ...]:
    """Return the chosen names in the order of `METRICS`, None for all; raise UsageError for an unknown one."""
    for name in chosen or ():
        if name not in METRICS:
            raise UsageError(f"there is no metric {name!r}; use {', '.join(METRICS)}{suggest(name, METRICS)}")
    return tuple(name for name in METRICS if chosen is None or name in chosen)


def _lpips(subject: Subject) -> float:
    if subject.lpips is None:
        raise InputError("needs an LPIPS network; make one with python -m export lpips")
    return subject.lpips(subject.pair_rgb)


def _detail_precision(subject: Subject) -> float:
    scale, pair = subject.scale, subject.pair_rgb
    baseline = upscale(values_of(subject.small, subject.data_range), scale)
    inner = slice(subject.border, len(baseline) - subject.border)
    columns = slice(subject.border, baseline.shape[1] - subject.border)
    return detail_precision(pair.image, baseline[inner, columns], pair.reference)


def _grid_index(subject: Subject) -> float:
    full = subject.data_range or 1.0
    return grid_index(luma(values_of(colors(subject.restored), subject.data_range), full)[..., 0], subject.scale)


def _residual(subject: Subject) -> float:
    if subject.data_range is not None:
        raise InputError("needs pictures with a known full scale: uint8, uint16 or floats in [0, 1]")
    return residual(colors(subject.restored), subject.small, subject.scale, subject.kernels)


def _psnr_fp32(subject: Subject) -> float:
    if subject.fp32 is None:
        raise InputError("needs the FP32 model's picture")
    return psnr(Pair.of(subject.restored, subject.fp32, data_range=subject.data_range))


COMPUTE: Mapping[str, Callable[[Subject], float]] = {
    "psnr": lambda subject: psnr(subject.pair),
    "ssim": lambda subject: ssim(subject.pair),
    "psnr_y": lambda subject: psnr(subject.pair_y),
    "ssim_y": lambda subject: ssim(subject.pair_y),
    "ms_ssim": lambda subject: ms_ssim(subject.pair),
    "gmsd": lambda subject: gmsd(subject.pair_rgb),
    "lpips": _lpips,
    "detail_precision": _detail_precision,
    "grid_index": _grid_index,
    "residual": _residual,
    "psnr_fp32": _psnr_fp32,
}
