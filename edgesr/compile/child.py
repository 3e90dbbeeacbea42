"""``python -m edgesr.compile.child FOLDER``: the process that builds; see edgesr.compile.build_process."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from edgesr.compile.build_process import BuildRequest, read_request, write_answer, write_error
from edgesr.compile.builder import build_plan, reduced_types
from edgesr.compile.graph import Graph
from edgesr.compile.proof import inspect_plan, require_precision
from edgesr.compile.recipe import BuiltPlan
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import EdgesrError


def main(folder: Path) -> None:
    """Build what the folder asks for and leave the plan or the reason there."""
    request, timing_cache = read_request(folder)
    try:
        api = TensorRt.load()
        if request.device:
            # TensorRT builds on the current GPU, which is the first without a word.
            Device(CudaRuntime.load(), request.device).activate()
        built = build_proven(api, request, timing_cache)
    except EdgesrError as error:
        write_error(folder, error)
    else:
        write_answer(folder, built)


def build_proven(api: TensorRt, request: BuildRequest, timing_cache: bytes) -> BuiltPlan:
    """Build, and check that the engine computes in the precision that was asked for."""
    built = build_plan(api, request.onnx, request.options, timing_cache=timing_cache)
    if not request.options.detailed:
        return built
    wanted = reduced_types(Graph.read(request.onnx)) | ({"fp16"} if request.options.fp16 else frozenset())
    layers = inspect_plan(api, built.plan)
    unproven = require_precision(layers, wanted, what=request.onnx.name)
    return replace(built, notes=(*built.notes, *unproven, f"layers: {layers.summary()}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
