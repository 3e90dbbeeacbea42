"""What a way of reading or writing frames has to do; the sources and sinks above know nothing else of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

from edgesr.errors import InputError
from edgesr.media.frame import Frame
from edgesr.types import Array

WAIT = "check that it is on and sends, or wait longer with --timeout"


class StallError(InputError):
    """A source that is there but gives no frame in time."""


class UnreachableError(InputError):
    """A source that does not answer, or is busy: it may still be starting."""


class AbsentError(InputError):
    """Nothing goes by this name: a typing error, or not there yet."""


class Reader(Protocol):
    """Gives frames one after the other; used by one thread, apart from ``close``."""

    @property
    def fps(self) -> Fraction | None:
        """Nominal frames per second; None where they are not known, or not yet."""

    @property
    def is_finite(self) -> bool:
        """Whether an end of the frames is their end, and not the loss of a camera."""

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame, None at the end; raise StallError after ``timeout`` seconds without one.

        Anything else that goes wrong is an InputError.
        """

    def close(self) -> None:
        """Free everything and end a ``read`` that is under way in another thread; closing twice is allowed."""


class Writer(Protocol):
    """Takes frames of one size one after the other."""

    def write(self, image: Array, time: float) -> None:
        """Take uint8 ``(H, W, 3)`` RGB for ``time``, in seconds from the first frame; ``image`` may be kept."""

    def close(self) -> None:
        """Finish, so that what was written is complete; raise InputError where that fails. Twice is allowed."""

    def abandon(self) -> None:
        """Free everything after a failure, without another error."""
