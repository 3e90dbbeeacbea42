"""What a written file will hold, decided before its first row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgesr.types import Array


@dataclass(frozen=True)
class Layout:
    """Describe the frames of a file: pixels, channels (1 grey, 2 grey+alpha, 3 RGB, 4 RGBA), dtype and their number."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[np.generic]
    frames: int = 1

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one frame's pixels."""
        return self.height * self.width * self.channels * self.dtype.itemsize


class Encoder(Protocol):
    """Take the rows of a file in order, never more than the current frame still needs."""

    def write(self, rows: Array) -> None:
        """Append native-endian rows ``(h, W, C)``."""

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text about the present frame, where the format holds text; before its last row."""

    def finish(self) -> None:
        """Write whatever follows the last row."""
