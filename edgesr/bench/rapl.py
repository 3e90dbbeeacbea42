"""Energy counters of Intel's and AMD's processors (RAPL) in the powercap files of Linux."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from edgesr.device import HERE
from edgesr.device.sysfiles import UnreadableError, read_number, read_text


class RaplMeter:
    """The packages of all sockets; memory and board are not in it."""

    def __init__(self, root: Path = HERE, clock: Callable[[], float] = monotonic) -> None:
        zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        self._zones = [zone for zone in zones if zone.name.count(":") == 1 and _name(zone).startswith("package")]
        if not self._zones:
            raise UnreadableError(
                f"there is no RAPL package in {root / 'sys/class/powercap'}, as in most virtual machines"
            )
        self._clock = clock
        try:
            self._wraps = [read_number(zone / "max_energy_range_uj") for zone in self._zones]
            self._last = clock(), self._counters()
        except UnreadableError as error:
            root_only = "; since 2020 Linux lets only root read it" if "permission" in str(error) else ""
            raise UnreadableError(f"{error}{root_only}") from None

    @property
    def source(self) -> str:
        """Where the watts come from."""
        return f"RAPL in /sys/class/powercap: {' + '.join(_name(zone) for zone in self._zones)}"

    def watts(self) -> float:
        """Return the mean power since the last call, in watts."""
        now, counters = self._clock(), self._counters()
        before, last = self._last
        self._last = now, counters
        spent = sum(
            (new - old) if new >= old else (new - old + wrap)
            for new, old, wrap in zip(counters, last, self._wraps, strict=True)
        )
        return spent * 1e-6 / (now - before) if now > before else 0.0

    def close(self) -> None:
        """Free nothing."""

    def _counters(self) -> list[float]:
        return [read_number(zone / "energy_uj") for zone in self._zones]


def _name(zone: Path) -> str:
    try:
        return read_text(zone / "name")
    except UnreadableError:
        return ""
