"""Where the time of one picture went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Timings:
    """Seconds spent so far on one picture, by stage."""

    pre: float = 0.0
    h2d: float = 0.0
    infer: float = 0.0
    d2h: float = 0.0

    def add(self, other: Timings) -> None:
        """Count the seconds of further work, which may have overlapped this."""
        self.pre += other.pre
        self.h2d += other.h2d
        self.infer += other.infer
        self.d2h += other.d2h
