"""Checks of the GPU: the CUDA runtime and driver, and TensorRT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgesr.device import Machine
from edgesr.doctor.check import Check, dotted, new_venv, numbers
from edgesr.doctor.interpreter import Interpreter, ProbeError

LEAST_TENSORRT = (8, 6)

_CUDA = """
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
runtime = CudaRuntime.load()
device = Device(runtime)
answer = [runtime.version, runtime.driver_version, device.name, device.compute_capability, runtime.path]
"""
_TENSORRT = "import tensorrt\nanswer = tensorrt.__version__"


def check_cuda(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that the CUDA runtime loads, fits the driver and finds the GPU; nothing on machines without one."""
    if machine.gpu is None and machine.jetson is None:
        return
    try:
        version, driver, name, capability, path = python.ask(_CUDA).value
    except ProbeError as error:
        reason = str(error).removeprefix("edgesr.errors.BackendError: ")
        yield Check("cuda", "problem", reason, _cuda_remedy(machine, python, reason))
        return
    detail = f"{dotted(tuple(version))} ({path}), driver for {dotted(tuple(driver))}"
    yield Check("cuda", "ok", f"{detail}: {name}, compute capability {dotted(tuple(capability))}")


def check_tensorrt(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that TensorRT imports; other machines than Jetsons do without it, on ONNX Runtime."""
    if python.locate("tensorrt") is None:
        yield _absent(machine, python, root)
        return
    try:
        version: str = python.ask(_TENSORRT).value
    except ProbeError as error:
        detail = f"cannot be imported: {error}; edgesr runs on ONNX Runtime without it"
        if machine.jetson is None:
            yield Check("tensorrt", "info", detail)
            return
        remedy = "sudo apt-get install --reinstall -y python3-libnvinfer"
        if "nvdla" in str(error):
            remedy = "in a container, take the image of this board's JetPack and start it with --runtime nvidia"
        yield Check("tensorrt", "problem", detail, remedy)
        return
    pack = machine.jetson.jetpack if machine.jetson else None
    if numbers(version)[:2] < LEAST_TENSORRT:
        remedy = "flash JetPack 6 or newer" if machine.jetson else f"{python.pip} install --upgrade tensorrt"
        yield Check("tensorrt", "problem", f"{version} is older than {dotted(LEAST_TENSORRT)}", remedy)
    elif pack and numbers(version)[:2] != numbers(pack.tensorrt)[:2]:
        own = f"{version}, JetPack {pack.version} brings {pack.tensorrt}"
        remedy = f"{python.pip} uninstall -y tensorrt" if "tensorrt" in python.packages else ""
        yield Check("tensorrt", "info", f"{own}; engines are built for the one that runs", remedy)
    elif machine.gpu or machine.jetson:
        yield Check("tensorrt", "ok", f"{version}, used by --device auto")
    else:
        yield Check("tensorrt", "info", f"{version}, without a GPU it is not used")


def _absent(machine: Machine, python: Interpreter, root: Path) -> Check:
    if machine.jetson is None:
        return Check("tensorrt", "info", "not installed; edgesr runs on ONNX Runtime without it")
    if any(root.glob("usr/lib/python3*/dist-packages/tensorrt*")) or python.is_isolated:
        detail = "this virtual environment cannot see JetPack's TensorRT; the GPU is not used"
        return Check("tensorrt", "problem", detail, new_venv(python))
    detail = "not installed; the GPU is not used"
    return Check("tensorrt", "problem", detail, "sudo apt-get update && sudo apt-get install -y python3-libnvinfer")


def _cuda_remedy(machine: Machine, python: Interpreter, reason: str) -> str:
    pack = machine.jetson.jetpack if machine.jetson else None
    if "no CUDA runtime library" in reason:
        if pack:
            return f"sudo apt-get update && sudo apt-get install -y cuda-cudart-{pack.cuda.replace('.', '-')}"
        return f"{python.pip} install nvidia-cuda-runtime"
    if machine.jetson:
        return "in a container, start it with --runtime nvidia; on the board itself: sudo reboot, then edgesr doctor"
    return "nvidia-smi   (shows whether the driver works); in a container, start it with --gpus all"
