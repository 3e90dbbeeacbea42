"""The power mode of a Jetson through ``nvpmodel``: which one is on, and another one for the time of a benchmark."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from edgesr.device.files import HERE
from edgesr.device.sysfiles import UnreadableError, read_text
from edgesr.errors import BackendError, UsageError

_SECONDS = 60
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class PowerMode:
    """A mode of nvpmodel."""

    number: int
    name: str
    source: str

    def __str__(self) -> str:
        return f"{self.number} ({self.name})" if self.name else str(self.number)


class Nvpmodel:
    """The program ``nvpmodel``; ``root`` holds its files."""

    def __init__(self, command: str = "nvpmodel", root: Path = HERE) -> None:
        self._command = command
        self._root = root

    def query(self) -> PowerMode:
        """Return the present mode as the program says, or its file where it may not be asked; raise UnreadableError."""
        try:
            text = self._run("-q")
        except UnreadableError as error:
            return self._remembered(str(error))
        name = re.search(r"NV Power Mode:\s*(\S+)", text)
        number = re.search(r"^\s*(\d+)\s*$", text, re.MULTILINE)
        if number is None:
            return self._remembered(f"nvpmodel -q says {' '.join(text.split())[:80]!r}")
        return PowerMode(int(number[1]), name[1] if name else "", "nvpmodel -q")

    def modes(self) -> Mapping[int, str]:
        """Return number and name of every mode of this board; empty where its file cannot be read."""
        try:
            text = read_text(self._root / "etc/nvpmodel.conf")
        except UnreadableError:
            return {}
        return {int(number): name for number, name in re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", text)}

    def fastest(self) -> int | None:
        """Return the mode without a limit of power (MAXN), else the one of most watts; None where none is known."""
        watts = {number: re.search(r"(\d+)W", name) for number, name in self.modes().items()}
        unlimited = [number for number, name in self.modes().items() if "MAXN" in name]
        limited = {number: int(match[1]) for number, match in watts.items() if match}
        return unlimited[0] if unlimited else max(limited, key=lambda number: limited[number], default=None)

    def set(self, number: int) -> None:
        """Choose a mode; raise BackendError where that is refused or needs a restart of the machine."""
        try:
            self._run("-m", str(number))
            present = self.query()
        except UnreadableError as error:
            raise BackendError(f"power mode {number} cannot be set: {error}; run as root") from None
        if present.number != number:
            raise BackendError(
                f"power mode {number} was asked for, nvpmodel still says {present}; this board changes to it only with "
                f"a restart: `sudo nvpmodel -m {number}`, then measure without --power-mode"
            )

    def resolve(self, asked: str) -> int:
        """Return the number of a mode that is named by number or name; raise UsageError for one that is not there."""
        modes = self.modes()
        known = ", ".join(f"{number} ({name})" for number, name in sorted(modes.items()))
        if asked.isascii() and asked.isdigit():
            if modes and int(asked) not in modes:
                raise UsageError(f"this board has no power mode {asked}; it has {known}")
            return int(asked)
        for number, name in modes.items():
            if name.lower() == asked.lower():
                return number
        raise UsageError(f"this board has no power mode {asked!r}" + (f"; it has {known}" if known else ""))

    def _remembered(self, why: str) -> PowerMode:
        path = self._root / "var/lib/nvpmodel/status"
        try:
            match = re.search(r"pmode:0*(\d+)", read_text(path))
        except UnreadableError:
            match = None
        if match is None:
            raise UnreadableError(why)
        number = int(match[1])
        return PowerMode(number, self.modes().get(number, ""), str(path))

    def _run(self, *words: str) -> str:
        try:
            done = subprocess.run(
                [self._command, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
                # Ctrl-C must not end a change of modes half way.
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise UnreadableError(f"nvpmodel gave no answer within {_SECONDS} s") from None
        except OSError as error:
            raise UnreadableError(f"nvpmodel cannot be started: {error.strerror or error}") from None
        text = done.stdout + done.stderr
        if done.returncode or re.search(r"permission denied|must be root|NVPM ERROR", text, re.IGNORECASE):
            raise UnreadableError(f"nvpmodel failed: {' '.join(text.split())[:200] or f'code {done.returncode}'}")
        return text


@contextmanager
def power_mode(
    asked: str | None,
    nvpmodel: Nvpmodel,
    *,
    settle: Callable[[], None] = lambda: sleep(_SETTLE_SECONDS),
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Set a power mode while the block runs; the old one is set again however the block ends. None changes nothing."""
    if asked is None:
        yield
        return
    try:
        before = nvpmodel.query()
    except UnreadableError as error:
        raise BackendError(f"--power-mode needs nvpmodel, which Jetsons have: {error}") from None
    number = nvpmodel.resolve(asked)
    if number == before.number:
        yield
        return
    try:
        nvpmodel.set(number)
        settle()
        yield
    finally:
        with _uninterrupted():
            try:
                nvpmodel.set(before.number)
            except BackendError as error:
                note(f"power mode {before} could not be set again: {error}; set it with nvpmodel -m {before.number}")
                raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and termination wait until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
