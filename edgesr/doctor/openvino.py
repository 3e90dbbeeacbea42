"""Check of OpenVINO, the second runtime of CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgesr.device import Machine
from edgesr.doctor.check import Check
from edgesr.doctor.interpreter import Interpreter, ProbeError

_ASK = """
import sys
sys.modules["openvino_telemetry"] = None
import openvino
core = openvino.Core()
answer = {"version": openvino.__version__, "able": list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))}
"""


def check_openvino(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Say whether OpenVINO runs here, in which precisions, and what ``--device auto`` does with it."""
    extra = f"{python.pip} install 'edgesr[openvino]'"
    if "openvino" not in python.packages:
        if not machine.gpu and not machine.jetson:
            yield Check(
                "openvino", "info", "not installed; --device auto takes ONNX Runtime, which may be slower", extra
            )
        return
    try:
        found = python.ask(_ASK).value
    except ProbeError as error:
        again = f"{python.pip} install --force-reinstall openvino"
        yield Check("openvino", "problem", f"cannot be used: {error}", again)
        return
    bf16 = "units for bf16 (--precision bf16)" if "BF16" in found["able"] else "no units for bf16"
    auto = (
        "--device auto takes the GPU"
        if machine.gpu
        else "--device auto measures it against ONNX Runtime once a network has computed for a second"
    )
    yield Check("openvino", "ok", f"{found['version'].split('-')[0]}, {bf16}; {auto} (`edgesr cache` lists choices)")
