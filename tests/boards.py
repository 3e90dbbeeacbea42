"""Five machines as files: what Jetsons and a desktop say about themselves, and the program ``nvpmodel`` of each board.

Release, device tree and power modes are as boards print them (reports in the issues of rbonghi/jetson_stats 711 and
864, NVIDIA/jetson-gpio 125, device trees of Linux and NVIDIA's BSP, boards' own manuals); sizes of memory and swap are
those that ``free`` shows on such boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ORIN_CPU = "processor\t: 0\nBogoMIPS\t: 62.50\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd42\n"
THOR_CPU = "processor\t: 0\nBogoMIPS\t: 2000.00\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd83\n"


@dataclass(frozen=True)
class Board:
    """What the files of one board hold."""

    release: str
    model: str
    compatible: tuple[str, ...]
    total: int
    """MemTotal in kB."""
    available: int
    swaps: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    mode: int = 0
    cpu: str = ORIN_CPU


ZRAM = tuple(f"/dev/zram{number} partition 650208 0 5" for number in range(6))
BOARDS = {
    "orin-nano": Board(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        7802456,
        4194304,
        ZRAM,
        ("15W", "25W", "MAXN_SUPER", "7W"),
        1,
    ),
    "orin-nx": Board(
        "# R36 (release), REVISION: 5.0, GCID: 43688277, BOARD: generic, EABI: aarch64, "
        "DATE: Fri Jan 16 03:50:45 UTC 2026\n",
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        ("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
        15758336,
        12582912,
        ("/swapfile file 8388604 1024 -2",),
        ("MAXN", "10W", "15W", "25W"),
        3,
    ),
    "agx-orin": Board(
        "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, "
        "DATE: Thu Sep 18 22:54:44 UTC 2025\n",
        "NVIDIA Jetson AGX Orin Developer Kit",
        ("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
        64325220,
        58720256,
        ZRAM,
        ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W"),
        2,
    ),
    "thor": Board(
        "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, "
        "DATE: Fri Aug 22 00:55:42 UTC 2025\n",
        "NVIDIA Jetson AGX Thor Developer Kit",
        ("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        128791320,
        120586240,
        (),
        ("MAXN", "120W", "90W", "70W"),
        0,
        THOR_CPU,
    ),
}


def record(root: Path, name: str) -> Path:
    """Write the files of a board, or of the machine ``desktop``, below ``root`` and return it."""
    if name == "desktop":
        return write(
            root,
            {
                "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R)  Core(TM) i7\n",
                "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ: 130\n",
                "proc/meminfo": "MemTotal:       32768000 kB\nMemAvailable:   20971520 kB\n",
                "proc/swaps": _swaps(("/dev/nvme0n1p3 partition 2097148 12 -2",)),
            },
        )
    board = BOARDS[name]
    modes = [f"< POWER_MODEL ID={number} NAME={mode} >\n" for number, mode in enumerate(board.modes)]
    write(
        root,
        {
            "etc/nv_tegra_release": board.release,
            "proc/device-tree/model": f"{board.model}\0",
            "proc/device-tree/compatible": "".join(f"{part}\0" for part in board.compatible),
            "proc/cpuinfo": board.cpu,
            "proc/meminfo": f"MemTotal: {board.total} kB\nMemFree: 100 kB\nMemAvailable: {board.available} kB\n",
            "proc/swaps": _swaps(board.swaps),
            "dev/nvhost-gpu": "",
            "etc/nvpmodel.conf": "".join(modes),
            "usr/sbin/nvpmodel": f"#!/bin/sh\necho 'NV Power Mode: {board.modes[board.mode]}'\necho {board.mode}\n",
        },
    )
    (root / "usr/sbin/nvpmodel").chmod(0o755)
    return root


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below ``root`` and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def _swaps(lines: tuple[str, ...]) -> str:
    return "\n".join(("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority", *lines, ""))
