"""How much memory a build may take on this machine at this moment."""

from __future__ import annotations

from edgesr.compile.recipe import BuildOptions, Limits
from edgesr.device import available_memory
from edgesr.engines.cuda import Device

LEAST_WORKSPACE = 32 << 20
_MOST_WORKSPACE = 512 << 20
_LEAST_TUNING = 256 << 20
SMALL_BOARD = 9 << 30
"""Bytes of memory up to which a board counts as one of 8 GB or less."""


def find_limits(device: Device, options: BuildOptions) -> Limits:
    """Return the limits for a build now; where GPU and CPU share one memory, part of what is free stays free."""
    if not device.is_integrated:
        return Limits(options.workspace)
    free = min(device.free_memory, available_memory())
    # In steps of 32 MiB: a limit of another byte would change nothing but the record.
    workspace = max(min(free // 4, _MOST_WORKSPACE) // LEAST_WORKSPACE, 1) * LEAST_WORKSPACE
    tuning = max(free * 3 // 4 // _LEAST_TUNING, 1) * _LEAST_TUNING
    return Limits(options.workspace or workspace, tuning)


def show_bytes(count: int | None) -> str:
    """Write bytes as people say them, e.g. ``512 MiB``."""
    return "no limit" if count is None else f"{count / (1 << 20):g} MiB"
