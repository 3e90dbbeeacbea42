"""What machine this is: processor, memory with its limits, GPU, and which Jetson with which JetPack.

Every file is read below ``root``, so that recorded machines can be looked at like the one that runs.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path("/")
_UNLIMITED = 1 << 62
_MAX_TEXT = 1 << 16


@dataclass(frozen=True)
class JetPack:
    """One line of the table of JetPack releases: what NVIDIA installs together."""

    version: str
    l4t: tuple[int, int]
    """The first L4T release of this line, major and minor."""
    python: tuple[int, int]
    cuda: str
    tensorrt: str


# L4T releases from ``l4t`` up to the next line's belong to a line.
JETPACKS = (
    JetPack("5.1", (35, 2), (3, 8), "11.4", "8.5.2"),
    JetPack("6.0", (36, 2), (3, 10), "12.2", "8.6.2"),
    JetPack("6.1-6.2.2", (36, 4), (3, 10), "12.6", "10.3.0"),
    JetPack("7.0-7.1", (38, 2), (3, 12), "13.0", "10.13.3"),
    JetPack("7.2", (39, 2), (3, 12), "13.2", "10.16.2"),
)
NEWEST_L4T = 39


@dataclass(frozen=True)
class Jetson:
    """A Jetson board."""

    model: str
    """As the device tree says it, e.g. ``NVIDIA Jetson AGX Orin Developer Kit``."""
    soc: str
    """``tegra194`` (Xavier), ``tegra234`` (Orin), ``tegra264`` (Thor), or empty."""
    l4t: tuple[int, int, int] | None
    """Release of Jetson Linux; None where /etc/nv_tegra_release is missing, as in many containers."""
    jetpack: JetPack | None
    """None for releases that are unknown or too old."""


@dataclass(frozen=True)
class Machine:
    """The machine that this process runs on, as far as the process may use it."""

    architecture: str
    cpu: str
    vendor: str
    """Maker of the processor in lower case: ``amd``, ``intel``, ``arm``, ``nvidia``, ... or ``unknown``."""
    cores: int
    memory_total: int
    """Bytes."""
    memory_available: int
    """Bytes."""
    gpu: str | None
    """Name of the first NVIDIA GPU that the driver shows, None without one."""
    jetson: Jetson | None


def this_machine(root: Path = HERE) -> Machine:
    """Look at the machine below ``root``; what cannot be read is left empty."""
    cpu, vendor = _processor(root)
    jetson = find_jetson(root)
    return Machine(
        architecture=platform.machine(),
        cpu=cpu,
        vendor=vendor,
        cores=usable_cores(root),
        memory_total=min(_meminfo("MemTotal", root) or 0, *(limit for limit, _ in _memory_limits(root)), _UNLIMITED),
        memory_available=available_memory(root),
        gpu=_gpu(root, jetson),
        jetson=jetson,
    )


def available_memory(root: Path = HERE) -> int:
    """Return the bytes that this process can still take: the machine's free memory, or less under a cgroup limit."""
    free = next((size for key in ("MemAvailable", "MemFree") if (size := _meminfo(key, root)) is not None), _UNLIMITED)
    return max(0, min(free, *(limit - used for limit, used in _memory_limits(root)), _UNLIMITED))


def usable_cores(root: Path = HERE) -> int:
    """Count the cores that this process may keep busy: its affinity, or less under a cgroup quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups("cpu", root):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        quota = quota or _text(folder / "cpu.cfs_quota_us")
        period = period or _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            allowed = min(allowed, math.ceil(int(quota) / int(period)))
    return max(allowed, 1)


def find_jetson(root: Path = HERE) -> Jetson | None:
    """Recognise a Jetson by its L4T release, its device tree or its chip; return None on other machines."""
    l4t = parse_l4t(_text(root / "etc/nv_tegra_release"))
    model = _text(root / "proc/device-tree/model")
    chip = re.search(r"nvidia,(tegra\d+)", _text(root / "proc/device-tree/compatible"))
    if l4t is None and chip is None and "jetson" not in model.lower():
        return None
    return Jetson(model or "unknown Jetson", chip[1] if chip else "", l4t, jetpack_of(l4t) if l4t else None)


def parse_l4t(text: str) -> tuple[int, int, int] | None:
    """Read the release out of /etc/nv_tegra_release: ``# R36 (release), REVISION: 4.3, ...`` is (36, 4, 3)."""
    match = re.search(r"\bR(\d{1,3})\b.*?\bREVISION:\s*(\d{1,3})(?:\.(\d{1,3}))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def jetpack_of(l4t: tuple[int, int, int]) -> JetPack | None:
    """Return the JetPack line of an L4T release: the newest of the same major release that is not newer."""
    return next((line for line in reversed(JETPACKS) if line.l4t[0] == l4t[0] and line.l4t <= l4t[:2]), None)


# Arm's and others' identification registers, as Linux shows them (arch/arm64/include/asm/cputype.h).
_IMPLEMENTERS = {0x41: "arm", 0x4E: "nvidia", 0x51: "qualcomm", 0x61: "apple", 0xC0: "ampere"}
_ARM_PARTS = {
    0xD08: "Cortex-A72",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD40: "Neoverse-V1",
    0xD42: "Cortex-A78AE",
    0xD49: "Neoverse-N2",
    0xD4F: "Neoverse-V2",
    0xD83: "Neoverse-V3AE",
}
_VENDORS = {"AuthenticAMD": "amd", "GenuineIntel": "intel", "HygonGenuine": "hygon"}


def _processor(root: Path) -> tuple[str, str]:
    """Return name and vendor of the processor."""
    fields: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    implementer, part = (_hexadecimal(fields.get(key, "")) for key in ("CPU implementer", "CPU part"))
    vendor = _VENDORS.get(fields.get("vendor_id", ""), _IMPLEMENTERS.get(implementer, "unknown"))
    arm = _ARM_PARTS.get(part, "") if vendor == "arm" else "Carmel" if (implementer, part) == (0x4E, 4) else ""
    return " ".join((fields.get("model name") or arm or platform.processor() or platform.machine()).split()), vendor


def _gpu(root: Path, jetson: Jetson | None) -> str | None:
    for information in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        model = re.search(r"^Model:\s*(\S.*)$", _text(information), re.MULTILINE)
        if model:
            return model[1].strip()
    nodes = ("dev/nvhost-gpu", "dev/nvgpu", "dev/nvidia0")
    if any((root / node).exists() for node in nodes):
        return "integrated GPU" if jetson else "NVIDIA GPU"
    return None


def _meminfo(key: str, root: Path) -> int | None:
    match = re.search(rf"^{key}:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes, of every cgroup around this process that has a limit.

    File cache that the kernel drops when memory is short does not count as used.
    """
    for folder, limit_file, used_file, dropped in _limited_groups(root):
        limit, used = _text(folder / limit_file), _text(folder / used_file)
        if limit.isdigit() and used.isdigit():
            droppable = re.search(rf"^{dropped} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            yield int(limit), max(0, int(used) - (int(droppable[1]) if droppable else 0))


@cache
def _limited_groups(root: Path) -> tuple[tuple[Path, str, str, str], ...]:
    """Return the groups that had a memory limit when this was first asked, which is for every picture."""
    files = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    found = ((folder, *names, _text(folder / names[0])) for folder in _cgroups("memory", root) for names in files)
    return tuple(group[:4] for group in found if group[4].isdigit() and int(group[4]) < _UNLIMITED)


@cache
def _cgroups(controller: str, root: Path) -> tuple[Path, ...]:
    """Return the folders, of version 2 and 1, whose limits of ``controller`` hold for this process."""
    mount = root / "sys/fs/cgroup"
    folders = {mount: None, mount / controller: None}
    for line in _text(root / "proc/self/cgroup").splitlines():
        names, _, path = line.partition(":")[2].partition(":")
        base = mount / controller if controller in names.split(",") else mount if not names else None
        inner = Path(path.lstrip("/"))
        if base is not None and ".." not in inner.parts:
            folders.update({base / folder: None for folder in (inner, *inner.parents)})
    return tuple(folder for folder in folders if folder.is_dir())


def _text(path: Path) -> str:
    """Return what a small system file says, without the NULs of device trees; empty when it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  read for every picture: Path.open is slower
            content = stream.read(_MAX_TEXT)
    except (OSError, ValueError):
        return ""
    return content.decode("utf-8", "replace").replace("\0", " ").strip()


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return -1
