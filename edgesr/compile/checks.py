"""Proof that a rewritten network is legal ONNX that a runtime loads."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgesr.compile.graph import Graph
from edgesr.compile.signatures import check_types
from edgesr.engines import open_backend
from edgesr.errors import EdgesrError, ModelError


def check_network(graph: Graph) -> None:
    """Check a graph with the ONNX checker, strict shape inference, the type check of this package and ONNX Runtime."""
    import onnx

    if any(node.domain not in ("", "ai.onnx") for node in graph.nodes):
        foreign = next(node for node in graph.nodes if node.domain not in ("", "ai.onnx"))
        raise ModelError(
            f"{graph.source}: {foreign.domain}.{foreign.op_type} {foreign.name!r} runs in ONNX Runtime only; "
            "export the network with standard operators"
        )
    try:
        onnx.checker.check_model(graph.copy(), full_check=True)
        onnx.shape_inference.infer_shapes(graph.copy(), check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{graph.source}: the rewritten network is no valid ONNX: {reason}") from None
    check_types(graph)
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(graph.bytes())
        try:
            open_backend("cpu", threads=1).load(path).close()
        except EdgesrError as error:
            raise ModelError(f"{graph.source}: ONNX Runtime refuses the rewritten network: {error}") from None
