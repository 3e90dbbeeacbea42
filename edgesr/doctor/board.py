"""Checks of what a board shares out: power, memory and swap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgesr.device import HERE, Machine, find_swap
from edgesr.device.power_mode import Nvpmodel
from edgesr.device.sysfiles import UnreadableError
from edgesr.doctor.check import Check
from edgesr.doctor.interpreter import Interpreter

LEAST_MEMORY = 2 << 30
SMALL_BOARD = 9 << 30
"""Bytes; boards sold with 4 and 8 GB need swap for a build."""
LEAST_SWAP = 4 << 30
_SWAPFILE = (
    "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
)


def check_power(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """On a Jetson, say which power mode is on and which one is the fastest."""
    if machine.jetson is None:
        return
    # A recorded board brings its own program, and this machine's must not answer for it.
    nvpmodel = Nvpmodel("nvpmodel" if root == HERE else str(root / "usr/sbin/nvpmodel"), root)
    try:
        mode = nvpmodel.query()
    except UnreadableError as error:
        remedy = "in a container, ask on the board itself: sudo nvpmodel -q"
        yield Check("power mode", "info", f"not known: {error}", remedy)
        return
    fastest, modes = nvpmodel.fastest(), nvpmodel.modes()
    if fastest is None or fastest == mode.number:
        yield Check("power mode", "ok", f"{mode}{', the fastest' if fastest is not None else ''}")
        return
    detail = f"{mode}; the fastest of this board is {fastest} ({modes[fastest]})"
    yield Check("power mode", "info", detail, f"sudo nvpmodel -m {fastest}")


def check_memory(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check the free memory, and on small boards that there is swap to build engines with."""
    free, total = _gib(machine.memory_available), _gib(machine.memory_total)
    if machine.memory_available < LEAST_MEMORY:
        remedy = "close other programs, raise the container's limit, or use --model cxr-x4-fast"
        if machine.jetson is not None:
            remedy = "sudo systemctl isolate multi-user.target   (ends the desktop until the next start)"
        yield Check("memory", "problem", f"{free} free of {total}, less than 2 GiB", remedy)
    else:
        yield Check("memory", "ok", f"{free} free of {total}")
    swap = find_swap(root)
    detail = f"{_gib(swap.free)} free of {_gib(swap.total)}" if swap.total else "none"
    is_small = machine.jetson is not None and machine.memory_total < SMALL_BOARD
    if is_small and swap.on_disk < LEAST_SWAP:
        only = ", all of it zram, which is memory again" if swap.total and not swap.on_disk else ""
        needed = f"{detail}{only}; a build of an engine on this board may be killed"
        yield Check("swap", "info", needed, _SWAPFILE)
    else:
        yield Check("swap", "ok" if swap.total else "info", detail)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
