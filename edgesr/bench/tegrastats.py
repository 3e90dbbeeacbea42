"""What ``tegrastats`` prints on a Jetson, in the forms of all releases, and the program as a power meter.

JetPack 4 wrote ``VDD_IN 5297/5297`` without a unit; JetPack 5 and 6 on Orin write ``VDD_IN 4940mW/4940mW`` and
``GR3D_FREQ 10%@1300``; JetPack 7 adds the greatest value as a third number and ``GR3D_FREQ 12%@[1300,1300]``; on Thor
the load is missing, ``GR3D_FREQ @[0,0,0]``, or the whole field, and temperatures are in lower case.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from edgesr.bench.rails import total_watts
from edgesr.device.sysfiles import UnreadableError

_RAIL = re.compile(r"(?<![\w@.])([A-Z][A-Z0-9_]*) (-?\d+)(?:mW)?/-?\d+(?:mW)?(?:/-?\d+(?:mW)?)?(?![\w./])")
_TEMPERATURE = re.compile(r"\b(\w+)@(-?\d+(?:\.\d+)?)C\b")
_MEMORY = re.compile(r"\bRAM (\d+)/(\d+)MB")
_GPU = re.compile(r"\bGR3D_FREQ(?: (\d+)%)?(?: ?@(?:\[(\d+)[\d,]*\]|(\d+)))?")
_CPU = re.compile(r"\bCPU \[([^\]]*)\]")
# Sensors of parts that are switched off read -256 degrees; the PMIC of older boards always says 50 or 100.
_COLDEST = -40.0
_NO_SENSOR = "PMIC"
_FIRST_LINE_SECONDS = 5.0
_STALE_SECONDS = 3.0


@dataclass(frozen=True)
class Tegrastats:
    """One line."""

    watts: Mapping[str, float]
    """Present power of each rail, by name."""
    celsius: Mapping[str, float]
    """Temperatures by sensor, in lower case."""
    memory_used: int | None
    memory_total: int | None
    """Bytes."""
    gpu_load: float | None
    """Share of the present clock that is used, 0 to 1; None where it is not told."""
    gpu_mhz: int | None
    cpu_mhz: int | None
    """Of the fastest core that is on."""


def parse_tegrastats(line: str) -> Tegrastats:
    """Read one line; what it does not tell is left empty."""
    memory, gpu, cpu = _MEMORY.search(line), _GPU.search(line), _CPU.search(line)
    clocks = [int(mhz) for mhz in re.findall(r"@(\d+)", cpu[1])] if cpu else []
    shared = re.search(r"\]@(\d+)", line)
    temperatures = {name.lower(): float(value) for name, value in _TEMPERATURE.findall(line) if name != _NO_SENSOR}
    return Tegrastats(
        watts={name: int(milliwatts) / 1e3 for name, milliwatts in _RAIL.findall(line)},
        celsius={name: value for name, value in temperatures.items() if value > _COLDEST},
        memory_used=int(memory[1]) << 20 if memory else None,
        memory_total=int(memory[2]) << 20 if memory else None,
        gpu_load=int(gpu[1]) / 100 if gpu and gpu[1] else None,
        gpu_mhz=int(gpu[2] or gpu[3]) if gpu and (gpu[2] or gpu[3]) else None,
        cpu_mhz=max(clocks, default=int(shared[1]) if shared else None),
    )


class TegrastatsMeter:
    """The program, asked for a line every ``interval`` milliseconds; ``watts`` is the newest total."""

    def __init__(self, command: str = "tegrastats", interval: int = 100) -> None:
        try:
            self._process = subprocess.Popen(
                [command, "--interval", str(interval)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise UnreadableError(f"{command} cannot be started: {error.strerror or error}") from None
        self._newest: tuple[float, Tegrastats] | None = None
        self._has_line = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.rails = total_watts(self._line().watts)[1]
        except UnreadableError:
            self.close()
            raise

    @property
    def source(self) -> str:
        """Where the watts come from."""
        return f"tegrastats: {' + '.join(self.rails)}"

    def watts(self) -> float:
        """Return the present power in watts; raise UnreadableError when the program has ended or tells none."""
        return total_watts(self._line().watts)[0]

    def close(self) -> None:
        """End the program."""
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(2)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _line(self) -> Tegrastats:
        self._has_line.wait(_FIRST_LINE_SECONDS)
        if self._newest is None:
            code = self._process.poll()
            ended = "wrote nothing" if code is None else f"ended with code {code}"
            raise UnreadableError(f"tegrastats {ended}; some releases need root")
        written, line = self._newest
        if monotonic() - written > _STALE_SECONDS:
            raise UnreadableError("tegrastats stopped writing")
        return line

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._newest = (monotonic(), parse_tegrastats(line))
            self._has_line.set()
        self._has_line.set()
