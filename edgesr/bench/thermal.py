"""Temperatures, and whether the machine lowered its clocks to protect itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgesr.bench.nvml import SLOWDOWNS, Nvml
from edgesr.bench.record import Reading
from edgesr.device import HERE
from edgesr.device.sysfiles import UnreadableError, read_number, read_text

# Sensors that follow nothing that computes.
_OTHER = re.compile(r"pmic|wifi|battery|charger|nvme|acpitz", re.IGNORECASE)
_PROCESSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
_COLDEST, _HOTTEST = -40.0, 150.0


def temperatures(root: Path = HERE, nvml: Nvml | None = None) -> dict[str, float]:
    """Return degrees Celsius by sensor: thermal zones, processor sensors, GPU; empty where there are none."""
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        _add(found, partial(_sensor, zone / "type", zone / "temp"))
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        try:
            chip = read_text(folder / "name")
        except UnreadableError:
            continue
        if chip in _PROCESSORS:
            for file in sorted(folder.glob("temp*_input")):
                _add(found, partial(_sensor, f"{chip} {file.name[:-6]}", file))
    if nvml is not None:
        _add(found, lambda: ("GPU", nvml.celsius()))
    return found


def hottest(root: Path = HERE, nvml: Nvml | None = None) -> Reading:
    """Return the hottest sensor."""
    found = temperatures(root, nvml)
    if not found:
        return Reading(None, "/sys/class/thermal, /sys/class/hwmon, NVML", "C", "this machine shows no temperature")
    name = max(found, key=lambda sensor: found[sensor])
    return Reading(found[name], f"hottest of {len(found)} sensors: {name}", "C")


class ThrottleWatch:
    """Counts of throttling since it was made, and states that ``look`` has seen."""

    def __init__(self, root: Path = HERE, nvml: Nvml | None = None) -> None:
        self._root = root
        self._nvml = nvml
        self._seen: dict[str, int] = {}
        self._looks = 0
        self._start = self._counters()
        self._devices = self._cooling()

    @property
    def sources(self) -> tuple[str, ...]:
        """What would tell of throttling on this machine; empty where nothing does."""
        told = []
        if self._start:
            told.append(f"{len(self._start)} counters such as {next(iter(self._start))}")
        if self._devices:
            told.append(f"{len(self._devices)} cooling devices in /sys/class/thermal")
        if self._nvml is not None:
            told.append("NVML throttle reasons")
        return tuple(told)

    def look(self) -> None:
        """Look at the states of the moment; cheap enough for ten times a second."""
        self._looks += 1
        for device in self._devices:
            if self._is_on(device):
                self._count(f"cooling device {_type(device)} was active")
        if self._nvml is not None:
            try:
                reasons = self._nvml.throttling()
            except UnreadableError:
                return
            for bit, text in SLOWDOWNS.items():
                if reasons & bit:
                    self._count(f"GPU: {text}")

    def findings(self) -> list[str]:
        """Say what throttled since the start, one line for each."""
        now = self._counters()
        counted = [
            f"{name} rose by {now[name] - old:.0f}" for name, old in self._start.items() if now.get(name, old) > old
        ]
        return [
            *(f"throttled: {text}" for text in counted),
            *(f"throttled: {text} in {count} of {self._looks} looks" for text, count in self._seen.items()),
        ]

    def _count(self, text: str) -> None:
        self._seen[text] = self._seen.get(text, 0) + 1

    def _counters(self) -> dict[str, float]:
        """Return the counters of Intel's processors and of the over-current detectors of Jetsons."""
        files = [
            *sorted((self._root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")),
            *sorted((self._root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")),
        ]
        found: dict[str, float] = {}
        for file in files:
            try:
                found[f"/{file.relative_to(self._root)}"] = read_number(file)
            except UnreadableError:
                continue
        return found

    def _cooling(self) -> list[Path]:
        """Return the devices that cool by computing less; fans do not."""
        devices = sorted((self._root / "sys/class/thermal").glob("cooling_device*"))
        return [device for device in devices if re.search(r"throttle|cpufreq|devfreq|Processor", _type(device))]

    def _is_on(self, device: Path) -> bool:
        try:
            return read_number(device / "cur_state") > 0
        except UnreadableError:
            return False


def _type(device: Path) -> str:
    try:
        return read_text(device / "type")
    except UnreadableError:
        return ""


def _sensor(name: Path | str, file: Path) -> tuple[str, float]:
    return name if isinstance(name, str) else read_text(name), read_number(file) / 1e3


def _add(found: dict[str, float], read: Callable[[], tuple[str, float]]) -> None:
    try:
        name, celsius = read()
    except UnreadableError:
        return
    if _COLDEST < celsius < _HOTTEST and not _OTHER.search(name):
        found[name] = celsius
