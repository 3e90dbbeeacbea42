"""Watts while something runs: the best meter of this machine, read by a thread, integrated over intervals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np

from edgesr.bench.ina import InaMeter
from edgesr.bench.nvml import Nvml, NvmlMeter
from edgesr.bench.rapl import RaplMeter
from edgesr.bench.record import Reading
from edgesr.bench.tegrastats import TegrastatsMeter
from edgesr.device import HERE, find_jetson
from edgesr.device.sysfiles import UnreadableError

INTERVAL = 0.1
_LEAST = 3
"""Readings without which there is no energy."""


class Meter(Protocol):
    """Something that knows the present power."""

    @property
    def source(self) -> str:
        """Where the watts come from, with the rails."""

    def watts(self) -> float:
        """Return the present power in watts; raise UnreadableError."""

    def close(self) -> None:
        """Free what the meter holds."""


def open_meter(device: str, *, root: Path = HERE, nvml: Nvml | None = None) -> tuple[Meter | None, str]:
    """Return the meter of what computes, or None and why there is none.

    On a Jetson the whole module: INA sensors, else tegrastats. Elsewhere the GPU's board for a GPU, and the processor's
    packages for the CPU.
    """
    choices: list[Callable[[], Meter]]
    if find_jetson(root) is not None:
        choices = [lambda: InaMeter(root), TegrastatsMeter]
    elif "cpu" in device:
        choices = [lambda: RaplMeter(root)]
    elif nvml is None:
        return None, "there is no NVML, which NVIDIA's desktop driver brings"
    else:
        choices = [lambda: NvmlMeter(nvml)]
    reasons = []
    for choice in choices:
        try:
            return choice(), ""
        except UnreadableError as error:
            reasons.append(str(error))
    return None, "; ".join(reasons)


class Sampler:
    """Reads a meter, and calls ``watch``, every ``interval`` seconds on a thread of its own while it is entered."""

    def __init__(
        self,
        meter: Meter | None,
        *,
        watch: Callable[[], None] = lambda: None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._meter = meter
        self._watch = watch
        self._interval = interval
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[tuple[float, float]] = []
        """Seconds of the clock, watts."""
        self.failure = ""
        """Why reading ended early."""

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def joules(self, intervals: Sequence[tuple[float, float]]) -> float:
        """Integrate the watts over intervals of the clock, linear between readings; raise UnreadableError without."""
        samples = list(self.samples)
        inside = [time for time, _ in samples if any(a <= time <= b for a, b in intervals)]
        if len(inside) < _LEAST:
            raise UnreadableError(
                self.failure or f"only {len(inside)} readings fell into the timed stretches; give a longer --duration"
            )
        times, watts = (np.array(column) for column in zip(*samples, strict=True))
        total = 0.0
        for start, end in intervals:
            edges = np.concatenate([[start], times[(times > start) & (times < end)], [end]])
            levels = np.interp(edges, times, watts)
            total += float(np.sum((levels[1:] + levels[:-1]) / 2 * np.diff(edges)))
        return total

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._meter is not None and not self.failure:
                    watts = self._meter.watts()
                    self.samples.append((self._clock(), watts))
            except UnreadableError as error:
                self.failure = str(error)
            self._watch()
            self._stop.wait(self._interval)


def describe_power(
    sampler: Sampler,
    meter: Meter | None,
    why_none: str,
    intervals: Sequence[tuple[float, float]],
    images: int,
    *,
    idle: float | None,
) -> dict[str, Reading]:
    """Return watts, idle watts and joules per image, each with its source or why there is none."""
    source = meter.source if meter is not None else ""
    seconds = sum(end - start for start, end in intervals)
    try:
        if meter is None:
            raise UnreadableError(why_none)
        if not images or not seconds:
            raise UnreadableError("nothing was timed")
        joules = sampler.joules(intervals)
    except UnreadableError as error:
        units = {"watts": "W", "joules_per_image": "J"}
        return {name: Reading(None, source, unit, str(error)) for name, unit in units.items()}
    found = {
        "watts": Reading(joules / seconds, source, "W"),
        "joules_per_image": Reading(joules / images, source, "J"),
    }
    if idle is not None:
        found["idle_watts"] = Reading(idle, source, "W")
        above = (joules - idle * seconds) / images
        found["joules_per_image_above_idle"] = Reading(above, f"{source}, less the idle power before the run", "J")
    return found
