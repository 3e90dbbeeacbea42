"""Run a restoration over pictures and measure each result; failures are kept and do not stop the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesr.bench.metrics.figures import METRICS, check_metrics
from edgesr.bench.metrics.groups import GroupTable, group_table
from edgesr.bench.metrics.intervals import Interval, interval
from edgesr.bench.metrics.planes import Channel, Pair
from edgesr.bench.metrics.score import measure_scores
from edgesr.bench.pairs import PicturePair
from edgesr.errors import EdgesrError, InputError
from edgesr.image.convert import from_float, to_float
from edgesr.image.resample import KERNELS, Kernel, upscale
from edgesr.types import Array

Restore = Callable[[Array], Array]
"""Makes ``(H, W, C)`` of ``(h, w, C)``, of the same dtype, in RGB order."""


@dataclass(frozen=True)
class QualityOptions:
    """How pictures are compared."""

    border: int | None = None
    """Pixels left out on each side; None for the scale, as the literature does."""
    channel: Channel = "rgb"
    metrics: Sequence[str] | None = None
    kernels: Sequence[Kernel] = KERNELS
    """Downscalers that the residual is measured with where the pairs do not name theirs."""
    lpips: Callable[[Pair], float] | None = None


@dataclass(frozen=True)
class PictureQuality:
    """The figures of one picture."""

    name: str
    values: Mapping[str, float]
    missing: Mapping[str, str]
    groups: Mapping[str, str] = field(default_factory=dict)
    """What else is known about the picture, such as ``sex`` and ``view``."""
    cluster: str = ""
    """Whom it shows; pictures of one patient are drawn together for intervals."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The pixels behind one row, ``(H, W, C)`` RGB, for reports; the reference is cut to the result's size."""

    name: str
    low: Array
    restored: Array
    reference: Array | None


@dataclass(frozen=True)
class Quality:
    """The figures of one model on all pictures."""

    model: str
    scale: int
    options: Mapping[str, Any]
    """Border in pixels, channel, downscaler, number of pictures: what the figures depend on."""
    rows: Sequence[PictureQuality]
    failures: Mapping[str, str]
    """Pictures that could not be measured, with the reason."""

    @property
    def mean(self) -> dict[str, float]:
        """Mean of every figure over the pictures that have it."""
        return {name: float(np.mean(values)) for name, values in self._columns().items()}

    @property
    def std(self) -> dict[str, float]:
        """Standard deviation over pictures (n - 1), for figures of at least two pictures, all finite."""
        return {
            name: float(np.std(values, ddof=1))
            for name, values in self._columns().items()
            if len(values) > 1 and np.isfinite(values).all()
        }

    @property
    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals of the means."""
        found = {}
        for name in self._columns():
            rows = [row for row in self.rows if name in row.values]
            values = np.array([row.values[name] for row in rows])
            found[name] = interval(values, [row.cluster or row.name for row in rows])
        return {name: value for name, value in found.items() if value is not None}

    @property
    def tables(self) -> list[GroupTable]:
        """Every figure by every grouping, over the pictures that have both."""
        made = []
        for by in dict.fromkeys(key for row in self.rows for key in row.groups):
            for name in self._columns():
                rows = [row for row in self.rows if by in row.groups and math.isfinite(row.values.get(name, math.nan))]
                if rows:
                    values = np.array([row.values[name] for row in rows])
                    clusters = [row.cluster or row.name for row in rows]
                    made.append(group_table(by, name, values, [row.groups[by] for row in rows], clusters))
        return made

    @property
    def missing(self) -> dict[str, dict[str, Any]]:
        """Figures that some pictures lack: ``{"metric": {"pictures": n, "reason": why}}``."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            for name, reason in row.missing.items():
                found.setdefault(name, {"pictures": 0, "reason": reason})["pictures"] += 1
        return found

    def document(self) -> dict[str, Any]:
        """Return everything as plain JSON data; infinite figures, of equal pictures, are ``null``."""
        return {
            "model": self.model,
            "scale": self.scale,
            "options": dict(self.options),
            "mean": plain(self.mean),
            "std": plain(self.std),
            "interval": {name: [value.low, value.high] for name, value in self.intervals.items()},
            "groups": [table.document() for table in self.tables],
            "missing": self.missing,
            "failures": dict(self.failures),
            "pictures": [
                {"name": row.name, **({"groups": dict(row.groups)} if row.groups else {}), **plain(row.values)}
                for row in self.rows
            ],
        }

    def _columns(self) -> dict[str, list[float]]:
        columns = {name: [row.values[name] for row in self.rows if name in row.values] for name in METRICS}
        return {name: values for name, values in columns.items() if values}


def measure_quality(
    model: str,
    restore: Restore,
    scale: int,
    pairs: Iterable[PicturePair],
    options: QualityOptions | None = None,
    *,
    fp32: Restore | None = None,
    groups: Callable[[PicturePair], tuple[Mapping[str, str], str]] = lambda pair: ({}, pair.name),
    on_picture: Callable[[Shown], None] = lambda shown: None,
    note: Callable[[str], None] = lambda text: None,
) -> Quality:
    """Restore every picture and compare the result with its reference and its input.

    ``restore`` may be a pipeline, called with pixels. ``fp32`` makes the same pictures by the FP32 model, for
    ``psnr_fp32``. ``groups`` tells a picture's groups and whom it shows. A picture that fails is told to ``note``, kept
    in ``failures`` and left out of the means; a model that fails at the first picture is an error.
    """
    chosen = options or QualityOptions()
    check_metrics(chosen.metrics)
    border = scale if chosen.border is None else chosen.border
    rows: list[PictureQuality] = []
    failures: dict[str, str] = {}
    kernels: set[str] = set()
    for pair in pairs:
        try:
            low, high = pair.read(scale)
            restored = restore(low)
            scores = measure_scores(
                restored,
                high,
                low,
                fp32=None if fp32 is None else fp32(low),
                border=border,
                channel=chosen.channel,
                kernels=chosen.kernels if pair.kernel is None else (pair.kernel,),
                lpips=chosen.lpips,
                metrics=chosen.metrics,
            )
        except EdgesrError as error:
            if not isinstance(error, InputError) and not rows and not failures:
                raise
            failures[pair.name] = str(error)
            note(f"{pair.name}: {error}")
            continue
        kernels.add(pair.kernel or "as given")
        rows.append(PictureQuality(pair.name, scores.values, scores.missing, *groups(pair)))
        on_picture(Shown(pair.name, low, restored, high))
    settings = {
        "border": border,
        "channel": chosen.channel,
        "data_range": "full scale of the file's dtype",
        "low_resolution": sorted(kernels),
        "pictures": len(rows),
        "failed": len(failures),
    }
    return Quality(model, scale, settings, rows, failures)


def bicubic(scale: int) -> Restore:
    """Return the baseline of every table: OpenCV's INTER_CUBIC, clipped and rounded to the input's dtype."""

    def enlarge(low: Array) -> Array:
        return from_float(upscale(to_float(low), scale), low.dtype)

    return enlarge


def plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for JSON, which knows no infinity."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
