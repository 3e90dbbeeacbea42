"""What the double's engine inspector tells, in the words of each version.

Up to 10.x tensors carry `Format/Datatype` and the engine `Bindings`; 11 splits the former and has `I/O Tensors` with
the types and profiles. 8.x writes the format out, and nothing where shapes are dynamic.
"""

from __future__ import annotations

import json
from typing import Any

import onnx

from tests.fakes.trt_network import Network

WORDS = {"Half": "FP16", "Float": "FP32", "Int8": "INT8", "Int32": "INT32", "Int64": "INT64", "Bool": "Bool"}
KINDS = {
    onnx.TensorProto.FLOAT16: "Half",
    onnx.TensorProto.FLOAT: "Float",
    onnx.TensorProto.INT8: "Int8",
    onnx.TensorProto.INT32: "Int32",
    onnx.TensorProto.INT64: "Int64",
    onnx.TensorProto.BOOL: "Bool",
}
LAYERS = {
    "Conv": "CaskConvolution",
    "ConvTranspose": "CaskDeconvolutionV2",
    "Cast": "Reformat",
    "MatMul": "CaskGemmMatrixMultiply",
}


def layer_facts(network: Network, node: Any, flags: set[str], forced: str | None) -> dict[str, Any]:
    """Describe the layer that a node becomes; ``forced`` overrides the precision, for builds that fall back."""
    producers = {name: other.op_type for other in network.proto.graph.node for name in other.output}
    quantised = any(producers.get(name) == "DequantizeLinear" for name in node.input)
    kind = KINDS.get(network.types.get(node.output[0], onnx.TensorProto.FLOAT), "Float")
    if not network.is_strongly_typed and kind == "Float" and "FP16" in flags:
        kind = "Half"
    if quantised and node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        kind = "Int8"
    if forced and kind in ("Half", "Int8"):
        kind = forced
    return {
        "Name": node.name or f"{node.op_type}_{node.output[0]}",
        "Type": LAYERS.get(node.op_type, "Myelin" if "Norm" in node.op_type else "PointWiseV2"),
        "Precision": kind,
        "Inputs": [name for name in node.input if name],
        "Outputs": list(node.output),
    }


def inspection(plan: Any, executor: Any, version: tuple[int, ...], form: str, layer: int | None = None) -> str:
    """Write what the engine inspector returns, for one layer or all."""
    layers = [plan.layers[layer]] if layer is not None else plan.layers
    is_dynamic = any(-1 in executor.declared(name) for name in executor.inputs)
    if plan.verbosity == "NONE":
        told: list[Any] = []
    elif plan.verbosity == "DETAILED":
        told = [_detailed(facts, version, is_dynamic) for facts in layers]
    else:
        told = [facts["Name"] for facts in layers]
    if form == "ONELINE":
        return "\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in told)
    if layer is not None:
        return json.dumps(told[0]) if told else ""
    names = [*executor.inputs, *executor.outputs]
    if version < (11,):
        return json.dumps({"Layers": told, "Bindings": names})
    return json.dumps({"Layers": told, "I/O Tensors": [_border(name, plan, executor) for name in names]})


def _detailed(facts: dict[str, Any], version: tuple[int, ...], is_dynamic: bool) -> dict[str, Any]:
    kind = facts["Precision"]

    def tensor(name: str) -> dict[str, Any]:
        common = {"Name": name, "Location": "Device", "Dimensions": []}
        if version >= (11,):
            return common | {"Format": f"Row major linear {WORDS[kind]} format (kLINEAR)", "DataType": kind}
        if version >= (10,):
            return common | {"Format/Datatype": kind}
        text = "N/A due to dynamic shapes" if is_dynamic else f"Row major linear {WORDS[kind]} format"
        return common | {"Format/Datatype": text}

    return {
        "Name": facts["Name"],
        "LayerType": facts["Type"],
        "Inputs": [tensor(name) for name in facts["Inputs"]],
        "Outputs": [tensor(name) for name in facts["Outputs"]],
        "TacticValue": "0x0000000000000000",
        "StreamId": 0,
        "Metadata": f"[ONNX Layer: {facts['Name']}]",
    }


def _border(name: str, plan: Any, executor: Any) -> dict[str, Any]:
    declared = list(executor.declared(name))
    word = {"float32": "Float", "float16": "Half", "uint8": "UInt8"}.get(str(executor.dtype(name)), "Int32")
    ranges = [profile.get(name, [declared] * 3) for profile in plan.profiles] or [[declared] * 3]
    return {
        "Name": name,
        "IOMode": "Input" if name in executor.inputs else "Output",
        "DataType": word,
        "Dimensions": declared,
        "Location": "Device",
        "IsShapeInferenceIO": False,
        "ProfileInfo": [
            {"MinShape": least, "OptShape": best, "MaxShape": most, "Format": "Row major linear format (kLINEAR)"}
            for least, best, most in ranges
        ],
    }
