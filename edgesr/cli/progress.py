"""Progress on standard error: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
from time import monotonic
from types import TracebackType
from typing import Any

from edgesr.cli.output import note

_LINE_EVERY = 10.0


class Progress:
    """Shows finished items with rate and time left; silent when there is but one."""

    def __init__(self, unit: str, *, quiet: bool = False) -> None:
        self._unit = unit
        self._quiet = quiet
        self._start = self._last = monotonic()
        self._bar: Any = None

    def show(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` items are finished."""
        if self._quiet or total < 2 or sys.stderr is None:
            return
        if sys.stderr.isatty():
            self._show_bar(done, total)
        elif monotonic() - self._last >= _LINE_EVERY:
            self._last = monotonic()
            rate = done / (self._last - self._start)
            left = (total - done) / rate
            note(f"{done}/{total} {self._unit}, {rate:.2f} {self._unit}/s, {left:.0f} s left")

    def _show_bar(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=f" {self._unit}", file=sys.stderr, leave=False, dynamic_ncols=True)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
