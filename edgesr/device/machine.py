"""What machine this is: processor, memory with its limits, GPU, and which Jetson with which JetPack.

Every file is read below ``root``, so that recorded machines can be looked at like the one that runs.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from edgesr.device.files import HERE, read_text
from edgesr.device.jetson import Jetson, find_jetson
from edgesr.device.limits import available_memory, total_memory, usable_cores


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
        memory_total=total_memory(root),
        memory_available=available_memory(root),
        gpu=_gpu(root, jetson),
        jetson=jetson,
    )


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
    for line in read_text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    implementer, part = (_hexadecimal(fields.get(key, "")) for key in ("CPU implementer", "CPU part"))
    vendor = _VENDORS.get(fields.get("vendor_id", ""), _IMPLEMENTERS.get(implementer, "unknown"))
    arm = _ARM_PARTS.get(part, "") if vendor == "arm" else "Carmel" if (implementer, part) == (0x4E, 4) else ""
    return " ".join((fields.get("model name") or arm or platform.processor() or platform.machine()).split()), vendor


def _gpu(root: Path, jetson: Jetson | None) -> str | None:
    for information in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        model = re.search(r"^Model:\s*(\S.*)$", read_text(information), re.MULTILINE)
        if model:
            return model[1].strip()
    nodes = ("dev/nvhost-gpu", "dev/nvgpu", "dev/nvidia0")
    if any((root / node).exists() for node in nodes):
        return "integrated GPU" if jetson else "NVIDIA GPU"
    return None


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return -1
