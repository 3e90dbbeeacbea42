"""How much memory and how many cores this process may use: of the machine, or less under cgroup limits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from edgesr.device.files import HERE, read_text

_UNLIMITED = 1 << 62


def total_memory(root: Path = HERE) -> int:
    """Return the bytes that this process may take when nothing else runs."""
    return min(_meminfo("MemTotal", root) or 0, *(limit for limit, _ in _memory_limits(root)), _UNLIMITED)


def available_memory(root: Path = HERE) -> int:
    """Return the bytes that this process can still take: the machine's free memory, or less under a cgroup limit."""
    free = next((size for key in ("MemAvailable", "MemFree") if (size := _meminfo(key, root)) is not None), _UNLIMITED)
    return max(0, min(free, *(limit - used for limit, used in _memory_limits(root)), _UNLIMITED))


def usable_cores(root: Path = HERE) -> int:
    """Count the cores that this process may keep busy: its affinity, or less under a cgroup quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups("cpu", root):
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        quota = quota or read_text(folder / "cpu.cfs_quota_us")
        period = period or read_text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            allowed = min(allowed, math.ceil(int(quota) / int(period)))
    return max(allowed, 1)


def _meminfo(key: str, root: Path) -> int | None:
    match = re.search(rf"^{key}:\s*(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes, of every cgroup around this process that has a limit.

    File cache that the kernel drops when memory is short does not count as used.
    """
    for folder, limit_file, used_file, dropped in _limited_groups(root):
        limit, used = read_text(folder / limit_file), read_text(folder / used_file)
        if limit.isdigit() and used.isdigit():
            droppable = re.search(rf"^{dropped} (\d+)$", read_text(folder / "memory.stat"), re.MULTILINE)
            yield int(limit), max(0, int(used) - (int(droppable[1]) if droppable else 0))


@cache
def _limited_groups(root: Path) -> tuple[tuple[Path, str, str, str], ...]:
    """Return the groups that had a memory limit when this was first asked, which is for every picture."""
    files = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    found = ((folder, *names, read_text(folder / names[0])) for folder in _cgroups("memory", root) for names in files)
    return tuple(group[:4] for group in found if group[4].isdigit() and int(group[4]) < _UNLIMITED)


@cache
def _cgroups(controller: str, root: Path) -> tuple[Path, ...]:
    """Return the folders, of version 2 and 1, whose limits of ``controller`` hold for this process."""
    mount = root / "sys/fs/cgroup"
    folders = {mount: None, mount / controller: None}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        names, _, path = line.partition(":")[2].partition(":")
        base = mount / controller if controller in names.split(",") else mount if not names else None
        inner = Path(path.lstrip("/"))
        if base is not None and ".." not in inner.parts:
            folders.update({base / folder: None for folder in (inner, *inner.parents)})
    return tuple(folder for folder in folders if folder.is_dir())
