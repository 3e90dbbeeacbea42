"""A camera that misbehaves on demand, for sources that read in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from time import monotonic, sleep

import numpy as np

from edgesr.errors import InputError
from edgesr.media.frame import Frame
from edgesr.media.port import StallError


@dataclass(frozen=True)
class Shot:
    """What the camera does next."""

    what: str = "frame"
    """``frame``, ``stall``, ``garbage`` or ``disconnect``."""
    after: float = 0.0
    """Seconds since the shot before."""
    size: tuple[int, int] = (8, 8)
    grey: int | None = None
    """Level of all pixels; None for the number of the frame."""


@dataclass
class Camera:
    """Plays one list of shots for each time that it is opened; ``opened`` counts them."""

    plays: Sequence[Sequence[Shot]]
    fails: set[int] = field(default_factory=set)
    """Numbers of the openings that fail."""
    opened: int = 0
    error: type[InputError] = InputError

    def __call__(self) -> CameraReader:
        number, self.opened = self.opened, self.opened + 1
        if number in self.fails:
            raise self.error("camera: there is no such device")
        return CameraReader(self.plays[min(number, len(self.plays) - 1)])


class CameraReader:
    """One opening of a camera, as a Reader."""

    fps = Fraction(50)
    is_finite = False

    def __init__(self, shots: Sequence[Shot]) -> None:
        self.shots = iter(shots)
        self.count = 0
        self.begin = self.due = monotonic()
        self.closed = threading.Event()

    def read(self, timeout: float) -> Frame | None:
        shot = next(self.shots, None)
        if shot is None or self.closed.is_set():
            return None
        self.due = max(self.due + shot.after, monotonic() - 10)
        if shot.what == "stall":
            if self.closed.wait(timeout):
                return None
            raise StallError("camera: gives no frame in time")
        sleep(max(0.0, self.due - monotonic()))
        if shot.what == "garbage":
            raise InputError("camera: the stream holds garbage")
        if shot.what == "disconnect":
            return None
        grey = self.count % 256 if shot.grey is None else shot.grey
        index, self.count = self.count, self.count + 1
        now = monotonic()
        return Frame(np.full((*shot.size, 3), grey, np.uint8), now - self.begin, index, now)

    def close(self) -> None:
        self.closed.set()


def steady(count: int, interval: float = 0.02, **options: object) -> list[Shot]:
    """Return frames at equal intervals, in seconds."""
    return [Shot(after=interval, **options) for _ in range(count)]  # type: ignore[arg-type]
