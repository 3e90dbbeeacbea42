"""The machine that a benchmark ran on: every fact with its source, or with the reason why it is not known."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from edgesr import __version__
from edgesr.bench.nvml import Nvml
from edgesr.bench.record import Reading, Value
from edgesr.device import HERE, find_jetson, this_machine
from edgesr.device.power_mode import Nvpmodel
from edgesr.device.sysfiles import UnreadableError, read_number, read_text

LIBRARIES = ("numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "onnx", "tensorrt")
IDENTITY = ("cpu", "cores", "architecture", "gpu", "board", "l4t", "power_mode", "tensorrt", "onnxruntime")
"""Facts that must agree before two results are compared."""


def describe_machine(
    root: Path = HERE, *, nvml: Nvml | None = None, nvpmodel: Nvpmodel | None = None, with_cuda: bool = False
) -> dict[str, Reading]:
    """Return all facts by name; ``with_cuda`` also asks libcudart and TensorRT, which loads them."""
    machine = this_machine(root)
    jetson = find_jetson(root)
    told = "/proc/driver/nvidia and device nodes"
    facts = {
        "cpu": Reading(machine.cpu, "/proc/cpuinfo"),
        "cores": Reading(machine.cores, "affinity and cgroup quota of the process"),
        "architecture": Reading(machine.architecture, "uname"),
        "virtual": _virtual(root),
        "memory": Reading(machine.memory_total, "/proc/meminfo and cgroup limits", "bytes"),
        "gpu": _known(machine.gpu, told, missing="this machine shows no NVIDIA GPU"),
        "board": _known(jetson.model if jetson else None, "/proc/device-tree/model", missing="this is no Jetson"),
        "soc": _known(jetson.soc if jetson else None, "/proc/device-tree/compatible", missing="this is no Jetson"),
        "l4t": _known(
            ".".join(map(str, jetson.l4t)) if jetson and jetson.l4t else None,
            "/etc/nv_tegra_release",
            missing="the file is missing, as in many containers" if jetson else "this is no Jetson",
        ),
        "jetpack": _known(
            jetson.jetpack.version if jetson and jetson.jetpack else None,
            "table of L4T releases",
            missing="the L4T release is not known" if jetson else "this is no Jetson",
        ),
        "kernel": Reading(platform.release(), "uname"),
        "system": Reading(_system(root), "/etc/os-release"),
        "python": Reading(platform.python_version(), "sys.version"),
        "edgesr": Reading(__version__, "edgesr.__version__"),
    }
    for name in LIBRARIES:
        facts[name] = _version(name)
    facts |= _clocks(root)
    if jetson is not None:
        facts["power_mode"] = _asked(lambda: str((nvpmodel or Nvpmodel(root=root)).query()), "nvpmodel -q")
    else:
        facts["power_mode"] = Reading(None, "nvpmodel", missing="this is no Jetson")
    if nvml is not None:
        facts["gpu"] = _asked(nvml.name, "NVML nvmlDeviceGetName")
        facts["driver"] = _asked(nvml.driver, "NVML nvmlSystemGetDriverVersion")
        facts["gpu_mhz"] = _asked(nvml.mhz, "NVML nvmlDeviceGetClockInfo, before the run", "MHz")
        facts["gpu_memory_mhz"] = _asked(nvml.memory_mhz, "NVML nvmlDeviceGetClockInfo, before the run", "MHz")
    if with_cuda:
        facts |= _cuda()
    facts["load"] = _asked(lambda: round(os.getloadavg()[0], 2), "load average of the minute before", "processes")
    return facts


def open_nvml(device: int = 0) -> tuple[Nvml | None, str]:
    """Return NVML for a GPU, or None and why there is none."""
    try:
        return Nvml(device), ""
    except UnreadableError as error:
        return None, str(error)


def differences(old: Mapping[str, Reading], new: Mapping[str, Reading]) -> list[str]:
    """Say in which facts of ``IDENTITY`` two machines differ."""
    found = []
    for name in IDENTITY:
        before, after = (facts[name].value if name in facts else None for facts in (old, new))
        if before != after:
            found.append(f"{name}: {before or 'unknown'} and {after or 'unknown'}")
    return found


def _clocks(root: Path) -> dict[str, Reading]:
    """Return governor, frequencies and boost of the processor, and the clock of a Jetson's GPU."""
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    facts = {
        "governor": _asked(lambda: read_text(cpu / "scaling_governor"), _shown(cpu / "scaling_governor", root)),
        "cpu_mhz": _asked(
            lambda: read_number(cpu / "scaling_cur_freq") / 1e3,
            f"{_shown(cpu / 'scaling_cur_freq', root)}, before the run",
            "MHz",
        ),
        "cpu_max_mhz": _asked(
            lambda: read_number(cpu / "scaling_max_freq") / 1e3, _shown(cpu / "scaling_max_freq", root), "MHz"
        ),
    }
    boost = root / "sys/devices/system/cpu/cpufreq/boost"
    if boost.exists():
        facts["boost"] = _asked(lambda: read_text(boost) == "1", _shown(boost, root))
    no_turbo = root / "sys/devices/system/cpu/intel_pstate/no_turbo"
    if no_turbo.exists():
        facts["boost"] = _asked(lambda: read_text(no_turbo) == "0", _shown(no_turbo, root))
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        if folder.name.endswith((".gpu", ".gv11b", ".ga10b")) or folder.name.startswith("gpu-gpc"):
            for name, file in (("gpu_mhz", "cur_freq"), ("gpu_max_mhz", "max_freq")):
                facts[name] = _asked(partial(_mega, folder / file), _shown(folder / file, root), "MHz")
            governor = folder / "governor"
            facts["gpu_governor"] = _asked(partial(read_text, governor), _shown(governor, root))
            break
    return facts


def _mega(path: Path) -> float:
    return read_number(path) / 1e6


def _cuda() -> dict[str, Reading]:
    from edgesr.engines.cuda import Device
    from edgesr.engines.cudart import CudaRuntime
    from edgesr.engines.trt_api import TensorRt
    from edgesr.errors import BackendError

    facts = {}
    try:
        cudart = CudaRuntime.load()
        facts["cuda"] = Reading(".".join(map(str, cudart.version)), "cudaRuntimeGetVersion")
        facts["gpu"] = Reading(Device(cudart).name, "cudaGetDeviceProperties")
    except BackendError as error:
        facts["cuda"] = Reading(None, "libcudart", missing=str(error))
    try:
        facts["tensorrt"] = Reading(TensorRt.load().version_text, "tensorrt.__version__")
    except BackendError as error:
        facts["tensorrt"] = Reading(None, "tensorrt", missing=str(error))
    return facts


def _virtual(root: Path) -> Reading:
    try:
        flags = read_text(root / "proc/cpuinfo")
    except UnreadableError as error:
        return Reading(None, "/proc/cpuinfo", missing=str(error))
    return Reading(" hypervisor" in flags, "the flag hypervisor in /proc/cpuinfo")


def _system(root: Path) -> Value:
    try:
        text = read_text(root / "etc/os-release")
    except UnreadableError:
        return platform.system()
    lines = dict(line.partition("=")[::2] for line in text.splitlines())
    return lines.get("PRETTY_NAME", platform.system()).strip('"')


def _version(name: str) -> Reading:
    try:
        return Reading(importlib.metadata.version(name), "installed distribution")
    except importlib.metadata.PackageNotFoundError:
        return Reading(None, "installed distributions", missing=f"{name} is not installed")


def _asked(ask: Callable[[], Value], source: str, unit: str = "") -> Reading:
    try:
        return Reading(ask(), source, unit)
    except (UnreadableError, OSError) as error:
        return Reading(None, source, unit, str(error))


def _known(value: Value, source: str, *, missing: str) -> Reading:
    return Reading(value, source) if value else Reading(None, source, missing=missing)


def _shown(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}"
