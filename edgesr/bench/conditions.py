"""What a time holds for, in words: tools differ in what they measure by default, as trtexec 10 and 11 do."""

from __future__ import annotations

from edgesr.compile.fastest import FastestCpu
from edgesr.device import usable_cores
from edgesr.engines.base import Backend
from edgesr.engines.trt import TrtBackend

_SPIN = "during a run; after it ONNX Runtime's threads sleep, as other networks and work are next"


def describe_conditions(backend: Backend, threads: int | None) -> dict[str, str]:
    """Return graph, transfers, spin, clock and threads of one runtime."""
    if isinstance(backend, TrtBackend):
        refusals = [engine.graph_refusal for engine in backend.engines if engine.graph_refusal]
        return {
            "graph": f"none: {refusals[0]}" if refusals else "CUDA graph, from the second run of a shape on",
            "transfers": f"included, {backend.memory}",
            "spin": "the driver's choice while the host waits",
            "clock": "compute by events on the device, the rest by the host; h2d holds copy and launch",
            "streams": "one, copies on two others",
        }
    told = {"graph": "none", "clock": "the host's", "threads": str(min(threads or usable_cores(), usable_cores()))}
    if backend.name.startswith("onnxruntime:cuda"):
        return {**told, "transfers": "included, each waited for", "spin": _SPIN}
    if backend.name.startswith("onnxruntime"):
        return {
            **told,
            "transfers": "none: the processor computes in place",
            "spin": _SPIN,
        }
    if isinstance(backend, FastestCpu):
        told["runtime"] = "; ".join(backend.picked)
        told["spin"] = _SPIN
    return {"spin": "the runtime's default", **told, "transfers": "none: the processor computes in place"}
