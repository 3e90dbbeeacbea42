"""Jetson boards: which module, which chip, which JetPack; NVIDIA's releases as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgesr.device.files import HERE, read_text


@dataclass(frozen=True)
class JetPack:
    """One line of the table of JetPack releases: what NVIDIA installs together."""

    version: str
    l4t: tuple[int, int]
    """The first L4T release of this line, major and minor."""
    python: tuple[int, int]
    cuda: str
    tensorrt: str
    socs: tuple[str, ...]
    """Chips that this release runs on."""
    dla: tuple[str, ...]
    """Chips whose DLA this release's TensorRT can use."""


# L4T releases from ``l4t`` up to the next line's belong to a line.
JETPACKS = (
    JetPack("5.1", (35, 2), (3, 8), "11.4", "8.5.2", ("tegra194", "tegra234"), ("tegra194", "tegra234")),
    JetPack("6.0", (36, 2), (3, 10), "12.2", "8.6.2", ("tegra234",), ("tegra234",)),
    JetPack("6.1-6.2.2", (36, 4), (3, 10), "12.6", "10.3.0", ("tegra234",), ("tegra234",)),
    JetPack("7.0-7.1", (38, 2), (3, 12), "13.0", "10.13.3", ("tegra264",), ()),
    JetPack("7.2", (39, 2), (3, 12), "13.2", "10.16.2", ("tegra234", "tegra264"), ()),
)


@dataclass(frozen=True)
class Soc:
    """A chip of the Tegra family."""

    name: str
    compute_capability: tuple[int, int]


SOCS = {
    "tegra194": Soc("Xavier", (7, 2)),
    "tegra234": Soc("Orin", (8, 7)),
    "tegra264": Soc("Thor", (11, 0)),
}


@dataclass(frozen=True)
class Module:
    """A module as NVIDIA sells it."""

    name: str
    memory: int
    """GB that CPU and GPU share; 0 where one part number has several."""
    dla_cores: int


# By part number, as the device tree's ``compatible`` names it after the carrier board's.
MODULES = {
    "p3701-0000": Module("AGX Orin", 0, 2),
    "p3701-0004": Module("AGX Orin 32GB", 32, 2),
    "p3701-0005": Module("AGX Orin 64GB", 64, 2),
    "p3701-0008": Module("AGX Orin Industrial", 64, 2),
    "p3767-0000": Module("Orin NX 16GB", 16, 2),
    "p3767-0001": Module("Orin NX 8GB", 8, 1),
    "p3767-0003": Module("Orin Nano 8GB", 8, 0),
    "p3767-0004": Module("Orin Nano 4GB", 4, 0),
    "p3767-0005": Module("Orin Nano 8GB (developer kit)", 8, 0),
    "p3834-0008": Module("AGX Thor T5000", 128, 0),
}


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
    module: Module | None = None
    """None for part numbers that are not in `MODULES`."""

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        """That of the chip's GPU; None for an unknown chip."""
        return SOCS[self.soc].compute_capability if self.soc in SOCS else None

    @property
    def usable_dla_cores(self) -> int | None:
        """DLA cores that the installed TensorRT can build for; None where the module or the release is unknown."""
        if self.module is None or self.jetpack is None:
            return None
        return self.module.dla_cores if self.soc in self.jetpack.dla else 0


def find_jetson(root: Path = HERE) -> Jetson | None:
    """Recognise a Jetson by its L4T release, its device tree or its chip; return None on other machines."""
    l4t = parse_l4t(read_text(root / "etc/nv_tegra_release"))
    model = read_text(root / "proc/device-tree/model")
    compatible = read_text(root / "proc/device-tree/compatible")
    chip = re.search(r"nvidia,(tegra\d+)", compatible)
    if l4t is None and chip is None and "jetson" not in model.lower():
        return None
    jetpack = jetpack_of(l4t) if l4t else None
    return Jetson(model or "unknown Jetson", chip[1] if chip else "", l4t, jetpack, _module(compatible))


def parse_l4t(text: str) -> tuple[int, int, int] | None:
    """Read the release out of /etc/nv_tegra_release: ``# R36 (release), REVISION: 4.3, ...`` is (36, 4, 3)."""
    match = re.search(r"\bR(\d{1,3})\b.*?\bREVISION:\s*(\d{1,3})(?:\.(\d{1,3}))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def jetpack_of(l4t: tuple[int, int, int]) -> JetPack | None:
    """Return the JetPack line of an L4T release: the newest of the same major release that is not newer."""
    return next((line for line in reversed(JETPACKS) if line.l4t[0] == l4t[0] and line.l4t <= l4t[:2]), None)


def _module(compatible: str) -> Module | None:
    """Return the module of ``nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234``."""
    return next((MODULES[part] for part in re.findall(r"p\d{4}-\d{4}", compatible) if part in MODULES), None)
