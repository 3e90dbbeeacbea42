"""What a benchmark measures of every model, and who is told about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgesr.bench.evaluate import Material
from edgesr.bench.pairs import PicturePair, evenly
from edgesr.bench.quality import QualityOptions
from edgesr.bench.record import Row
from edgesr.bench.timing import Protocol
from edgesr.bench.validity import Limits
from edgesr.pipelines.load import Pipeline

TIMED = 16
"""So many pictures are held in memory and timed, however many are compared."""


@dataclass(frozen=True)
class Plan:
    """What is measured of every model."""

    pairs: Sequence[PicturePair]
    """On all of which quality is measured."""
    protocol: Protocol = field(default_factory=Protocol)
    limits: Limits = field(default_factory=Limits)
    quality: QualityOptions | None = None
    """How pictures are compared; None measures no quality."""
    material: Material = field(default_factory=Material)
    """What is known about the pictures: labels, masks, boxes, groups."""
    streams: Sequence[int] = ()
    """Numbers of threads for which the throughput is measured."""
    mlperf: bool = False
    layers: bool = False
    calib: str | None = None
    """Folder of pictures for INT8 ranges."""

    @property
    def timed(self) -> Sequence[PicturePair]:
        """The pictures that times are measured with, evenly spread over all."""
        return evenly(self.pairs, TIMED)


@dataclass
class Watchers:
    """Who is told about progress."""

    note: Callable[[str], None] = lambda text: None
    tick: Callable[[str, float | None], None] = lambda phase, last: None
    progress: Callable[[str, float], None] = lambda title, share: None
    row: Callable[[Row], None] = lambda row: None
    """Told of every finished row."""
    measured: Callable[[int, Pipeline], None] = lambda number, pipeline: None
    """Told the number of a setting and its model after it was measured, while it can still be run."""
