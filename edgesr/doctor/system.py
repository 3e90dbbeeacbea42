"""Checks of Python, the processor and JetPack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgesr.device import JETPACKS, Jetson, Machine
from edgesr.doctor.check import Check, dotted, new_venv
from edgesr.doctor.interpreter import Interpreter

PYTHONS = ((3, 10), (3, 13))


def check_python(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check the version of Python."""
    low, high = PYTHONS
    place = "virtual environment" if python.is_venv else "installation"
    detail = f"{dotted(python.version)}, {place} {python.prefix}"
    if low <= python.version[:2] <= high:
        yield Check("python", "ok", detail)
    else:
        wanted = f"Python {dotted(low)} to {dotted(high)}"
        yield Check("python", "problem", f"{detail}; edgesr needs {wanted}", f"install edgesr into {wanted}")


def check_machine(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Say what machine this is."""
    cores = "1 usable core" if machine.cores == 1 else f"{machine.cores} usable cores"
    gpu = machine.gpu or "no NVIDIA GPU"
    yield Check("machine", "info", f"{machine.architecture}, {machine.cpu}, {cores}, {gpu}")


def check_jetpack(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """On a Jetson, check that its JetPack is new enough and made for the Python that runs."""
    if machine.jetson is None:
        return
    jetson = machine.jetson
    if jetson.l4t is None:
        mount = "-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
        detail = f"{jetson.model}; JetPack unknown, there is no /etc/nv_tegra_release"
        yield Check("jetpack", "info", detail, f"in a container, start it with: docker run {mount} ...")
    elif jetson.jetpack is None:
        yield _unknown_release(jetson, jetson.l4t)
    else:
        pack = jetson.jetpack
        detail = (
            f"{jetson.model}, JetPack {pack.version} (L4T {dotted(jetson.l4t)}): Python {dotted(pack.python)}, "
            f"CUDA {pack.cuda}, TensorRT {pack.tensorrt}{_chip(jetson)}"
        )
        if pack.python < PYTHONS[0]:
            yield Check("jetpack", "problem", f"{detail}: too old for edgesr", "flash JetPack 6 or newer")
        elif python.version[:2] != pack.python:
            detail += f"; Python {dotted(python.version[:2])} runs, which cannot load JetPack's own libraries"
            yield Check("jetpack", "problem", detail, new_venv(python, f"/usr/bin/python{dotted(pack.python)}"))
        else:
            yield Check("jetpack", "ok", detail)


def _chip(jetson: Jetson) -> str:
    """Say what the module, its GPU and its DLA are, as far as they are known."""
    capability, cores = jetson.compute_capability, jetson.usable_dla_cores
    parts = [f"module {jetson.module.name}"] if jetson.module else []
    parts += [f"compute capability {dotted(capability)}"] if capability else []
    parts += [] if cores is None else [f"{cores} usable DLA cores" if cores else "no usable DLA"]
    return f" ({', '.join(parts)})" if parts else ""


def _unknown_release(jetson: Jetson, l4t: tuple[int, int, int]) -> Check:
    detail = f"{jetson.model}, L4T {dotted(l4t)}"
    if l4t[:2] < JETPACKS[0].l4t:
        return Check("jetpack", "problem", f"{detail}: too old for edgesr", "flash JetPack 6 or newer")
    return Check("jetpack", "info", f"{detail}: a release that this version of edgesr does not know")
