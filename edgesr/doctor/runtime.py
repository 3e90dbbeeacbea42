"""Checks of ONNX Runtime and its CUDA provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from edgesr.device import Machine
from edgesr.doctor.check import Check, dotted, numbers
from edgesr.doctor.interpreter import Interpreter, ProbeError

LEAST = (1, 17)

# What providers are compiled in says nothing about whether they start, so one convolution is run: it needs cuDNN and
# code for this very GPU. The network is y = Conv(x, x) on one pixel, opset 13.
_ASK = """
import os
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import base64, numpy, onnxruntime
network = base64.b64decode(
    "CAgSADpOCg8KAXgKAXgSAXkiBENvbnYSAW5aGwoBeBIWChQIARIQCgIIAQoCCAEKAggBCgIIAWIbCgF5EhYKFAgBEhAKAggBCgIIAQoCCAEKAggB"
    "QgQKABAN"
)
offered = onnxruntime.get_available_providers()
answer = {"version": onnxruntime.__version__, "providers": offered, "cuda": "absent"}
x = numpy.full((1, 1, 1, 1), 3, numpy.float32)
cpu = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
answer["cpu"] = float(cpu.run(None, {"x": x})[0].item())
if "CUDAExecutionProvider" in offered:
    try:
        session = onnxruntime.InferenceSession(network, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
        answer["cuda"] = "not started"
        if "CUDAExecutionProvider" in session.get_providers():
            wrong = abs(session.run(None, {"x": x})[0].item() - 9) > 0.1
            answer["cuda"] = "wrong result" if wrong else "runs"
    except Exception as error:
        answer["cuda"] = f"failed: {error}"
"""


def check_onnxruntime(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that one ONNX Runtime is installed and runs, on the GPU where there is one."""
    packages = sorted(name for name in python.packages if re.fullmatch(r"onnxruntime(-(?!genai|extensions).*)?", name))
    if len(packages) > 1:
        yield _clash(packages, machine, python)
    fitting = "onnxruntime-gpu" if machine.gpu and machine.architecture == "x86_64" else "onnxruntime"
    try:
        answer = python.ask(_ASK)
    except ProbeError as error:
        detail = f"cannot be used: {error}" if packages else "not installed"
        yield Check("onnxruntime", "problem", detail, f"{python.pip} install --force-reinstall {fitting}")
        return
    found: dict[str, Any] = answer.value
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in found["providers"])
    detail = f"{found['version']} ({', '.join(packages) or 'package unknown'}), providers {providers}"
    if numbers(found["version"])[:2] < LEAST:
        upgrade = f"{python.pip} install --upgrade '{packages[0] if packages else fitting}>={dotted(LEAST)}'"
        yield Check("onnxruntime", "problem", f"{detail}: older than {dotted(LEAST)}", upgrade)
    elif found["cpu"] != 9.0:
        again = f"{python.pip} install --force-reinstall {packages[0] if packages else fitting}"
        yield Check("onnxruntime", "problem", f"{detail}: computes 3 x 3 = {found['cpu']:g}", again)
    else:
        yield Check("onnxruntime", "ok", detail)
    yield from _cuda(found["cuda"], answer.messages, machine, python)


def _clash(packages: list[str], machine: Machine, python: Interpreter) -> Check:
    special = [name for name in packages if name != "onnxruntime"]
    keep = special[0] if machine.gpu or len(special) == len(packages) else "onnxruntime"
    pinned = f"{keep}=={python.packages[keep]}"
    detail = f"{' and '.join(packages)} are installed together; both provide the module onnxruntime"
    remedy = f"{python.pip} uninstall -y {' '.join(packages)} && {python.pip} install --no-deps {pinned}"
    return Check("onnxruntime packages", "problem", detail, remedy)


def _cuda(state: str, messages: str, machine: Machine, python: Interpreter) -> Iterator[Check]:
    """Judge the CUDA provider: ``absent``, ``runs``, or what went wrong."""
    name = "onnxruntime cuda"
    if state == "runs":
        yield Check(name, "ok", f"ONNX Runtime runs on {machine.gpu or 'the GPU'}")
    elif state == "absent" and machine.gpu and python.locate("tensorrt") is not None:
        yield Check(name, "info", "ONNX Runtime is built for CPUs; networks run on the GPU through TensorRT")
    elif state == "absent" and machine.gpu:
        detail = f"{machine.gpu} is not used: ONNX Runtime is built for CPUs"
        # JetPack's own way to the GPU is TensorRT, whose check says how to get it.
        status: Literal["info", "problem"] = "info" if machine.jetson else "problem"
        yield Check(name, status, detail, _gpu_build(machine, python))
    elif state != "absent" and machine.gpu:
        detail = f"ONNX Runtime's CUDA provider does not work: {_reason(state, messages)}"
        yield Check(name, "problem", detail, f"{_gpu_build(machine, python)}; until then use --device cpu")
    elif state != "absent":
        yield Check(name, "info", "ONNX Runtime is built for CUDA, but there is no NVIDIA GPU: the CPU is used")


def _gpu_build(machine: Machine, python: Interpreter) -> str:
    pack = machine.jetson.jetpack if machine.jetson else None
    remove = f"{python.pip} uninstall -y onnxruntime onnxruntime-gpu"
    if pack:
        wheel = f"an onnxruntime-gpu wheel made for JetPack {pack.version}"
        return f"{remove}, then install {wheel} (CUDA {pack.cuda}, Python {dotted(pack.python)}) without dependencies"
    return f"{remove} && {python.pip} install 'onnxruntime-gpu[cuda,cudnn]'"


def _reason(state: str, messages: str) -> str:
    """Return the library that is missing, else the last thing that ONNX Runtime said."""
    missing = re.search(r"(lib[\w.+-]+): cannot open shared object file", messages + state)
    if missing:
        return f"{missing[1]} is missing"
    lines = [line for line in messages.splitlines() if "CUDA" in line or "rror" in line]
    text = state.removeprefix("failed: ") if state.startswith("failed") or not lines else lines[-1]
    return " ".join(text.split())[:300]
