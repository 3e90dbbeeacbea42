"""``python -m edgesr.compile.child FOLDER``: the process that builds; see edgesr.compile.build_process."""

from __future__ import annotations

import ctypes
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

from edgesr.compile.builder import Steps, build_plan, reduced_types, survey_network
from edgesr.compile.exchange import BuildRequest, read_request, write_answer, write_error, write_event
from edgesr.compile.graph import Graph
from edgesr.compile.proof import inspect_plan, require_precision
from edgesr.compile.recipe import BuiltPlan
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import EdgesrError

_SET_PARENT_DEATH_SIGNAL = 1


def main(folder: Path) -> None:
    """Build what the folder asks for and leave the plan or the reason there."""
    request = read_request(folder)
    steps = Steps(lambda text: write_event(folder, phase=text), lambda found: write_event(folder, survey=asdict(found)))
    try:
        api = TensorRt.load()
        if request.device:
            # TensorRT builds on the current GPU, which is the first without a word.
            Device(CudaRuntime.load(), request.device).activate()
        if request.is_survey:
            steps.surveyed(survey_network(api, request.onnx, request.options))
            built = BuiltPlan(b"")
        else:
            built = build_proven(api, request, steps)
    except EdgesrError as error:
        write_error(folder, error)
    else:
        write_answer(folder, built)


def build_proven(api: TensorRt, request: BuildRequest, steps: Steps | None = None) -> BuiltPlan:
    """Build, and check that the engine computes in the precision that was asked for."""
    steps = steps or Steps()
    options = request.options
    built = build_plan(api, request.onnx, options, limits=request.limits, timings=request.timings, steps=steps)
    built = replace(built, limits=request.limits)
    if not options.detailed:
        return built
    steps.phase("checking its precision")
    wanted = reduced_types(Graph.read(request.onnx)) | ({"fp16"} if options.fp16 else frozenset())
    layers = inspect_plan(api, built.plan, host_code=options.version_compatible)
    unproven = require_precision(layers, wanted, what=request.onnx.name)
    return replace(built, notes=(*built.notes, *unproven, f"layers: {layers.summary()}"))


def _end_with_the_parent() -> None:
    """Let Linux end this process with the one that waits for it, also where that one is killed."""
    try:
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
    except (OSError, AttributeError):
        return


if __name__ == "__main__":
    _end_with_the_parent()
    main(Path(sys.argv[1]))
