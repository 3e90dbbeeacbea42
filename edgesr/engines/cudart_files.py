"""Where CUDA runtime libraries lie: in wheels, in /usr/local and in the system's linker cache."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ENVIRONMENT = "EDGESR_CUDART"
SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")

_WHEELS = ("nvidia/cu13/lib", "nvidia/cuda_runtime/lib")
_TOOLKITS = ("lib64", "targets/*/lib")
_BOARD = "etc/nv_tegra_release"


def candidates(search: Sequence[str] | None = None, root: Path = Path("/"), chosen: str | None = None) -> Iterator[str]:
    """Yield files and sonames to try, best first.

    ``search`` are the folders that hold Python packages (``sys.path``), ``root`` is where /usr/local is looked for,
    ``chosen`` the value of EDGESR_CUDART, which leaves no second choice. Wheels come before toolkits, on a
    Jetson after them.
    """
    chosen = os.environ.get(ENVIRONMENT) if chosen is None else chosen
    if chosen:
        yield chosen
        return
    wheels = [file for packages in (sys.path if search is None else search) for file in _in_wheels(Path(packages))]
    toolkits = list(_in_toolkits(root))
    # The wheels for aarch64 are made for servers; a board's own library is the one that its TensorRT was made with.
    yield from [*toolkits, *wheels] if (root / _BOARD).is_file() else [*wheels, *toolkits]
    yield from SONAMES


def _in_wheels(packages: Path) -> Iterator[str]:
    for wheel in _WHEELS:
        yield from _libraries(packages / wheel)


def _in_toolkits(root: Path) -> Iterator[str]:
    for toolkit in sorted(root.glob("usr/local/cuda*"), key=_version_of, reverse=True):
        for pattern in _TOOLKITS:
            for folder in sorted(toolkit.glob(pattern)):
                yield from _libraries(folder)


def _libraries(folder: Path) -> Iterator[str]:
    for soname in SONAMES:
        if (folder / soname).is_file():
            yield str(folder / soname)


def _version_of(toolkit: Path) -> tuple[int, ...]:
    """Sort ``cuda`` itself, the administrator's choice, before ``cuda-12.6`` before ``cuda-11.8``."""
    if toolkit.name == "cuda":
        return (sys.maxsize,)
    return tuple(int(number) for number in re.findall(r"\d+", toolkit.name))
