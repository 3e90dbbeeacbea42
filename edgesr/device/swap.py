"""Swap space: how much there is, how much of it is free, and how much lies on a disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesr.device.files import HERE, read_text


@dataclass(frozen=True)
class Swap:
    """Bytes of all swap areas together."""

    total: int
    free: int
    on_disk: int
    """What does not lie in memory itself, as zram does."""


def find_swap(root: Path = HERE) -> Swap:
    """Add up ``/proc/swaps``; all 0 where it cannot be read."""
    total = used = on_disk = 0
    for line in read_text(root / "proc/swaps").splitlines()[1:]:
        words = line.split()
        # From the right: the name of a swap file may have spaces.
        if len(words) < 5 or not (words[-3].isdigit() and words[-2].isdigit()):
            continue
        size = int(words[-3]) * 1024
        total += size
        used += int(words[-2]) * 1024
        on_disk += 0 if words[0].startswith("/dev/zram") else size
    return Swap(total, max(0, total - used), on_disk)
