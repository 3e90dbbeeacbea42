"""One picture of a moving sequence, and what is known about the sequence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, TypeAlias

from edgesr.types import Array

Color: TypeAlias = Literal["rgb", "bgr"]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture with its place in time.

    ``image`` is uint8 ``(H, W, 3)`` in the colour order that the source was opened with; picture files keep their own
    channels and dtype. The array belongs to the frame and is never written again.
    """

    image: Array = field(repr=False)
    time: float
    """Presentation time in seconds, from the beginning of the source."""
    index: int
    """Number in the source from 0, frames that were dropped counted."""
    captured: float = 0.0
    """``time.monotonic()`` in seconds when the frame had arrived."""
    name: str | None = None
    """File that it came from, where there is one for each frame."""

    def with_image(self, image: Array) -> Frame:
        """Return another picture for the same instant."""
        return replace(self, image=image)


@dataclass(frozen=True)
class VideoFormat:
    """What a writer must know before the first frame."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    fps: Fraction | None = None
    """Nominal frames per second; None where frames come as they please."""

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


def matrix_of(height: int) -> Literal["bt601", "bt709"]:
    """Return the luma coefficients that video without a label is taken for: BT.709 above 576 lines, as players do."""
    return "bt709" if height > 576 else "bt601"
