"""Write a small network of our own as an ONNX graph of known operators, constants folded and stored once."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime import GraphOptimizationLevel, SessionOptions
from torch import Tensor, nn

OPERATORS = frozenset(
    (
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "Cos",
        "DepthToSpace",
        "Div",
        "Exp",
        "Gemm",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pad",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Sin",
        "Slice",
        "Softmax",
        "Split",
        "Sub",
        "Unsqueeze",
    )
)
"""What a graph may contain: operators that every TensorRT since 8.6 and ONNX Runtime execute natively."""


def write_graph(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Collection[str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> onnx.ModelProto:
    """Trace ``network`` with examples of its inputs by name and write it at opset 17; return the checked model.

    ``axes`` names the dynamic axes of inputs and outputs. Raise ValueError for an operator outside `OPERATORS`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(named) for name, named in axes.items()},
            opset_version=17,
            dynamo=False,
        )
    fold_constants(path)
    model = onnx.load(path)
    model.producer_name = "edgesr"
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", 17))
    share_constants(model.graph)
    onnx.checker.check_model(model, full_check=True)
    foreign = {node.op_type for node in model.graph.node} - OPERATORS
    if foreign:
        raise ValueError(f"{path.name} contains operators outside the list: {sorted(foreign)}")
    onnx.save(model, path)
    return model


def fold_constants(path: Path) -> None:
    """Replace shape arithmetic on constants (padding amounts) by the constants, without fusing anything."""
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def share_constants(graph: onnx.GraphProto) -> None:
    """Keep one copy of equal initializers: a kernel that is used four times is stored once."""
    first: dict[bytes, str] = {}
    names = {}
    for tensor in list(graph.initializer):
        name, tensor.name = tensor.name, ""
        names[name] = first.setdefault(tensor.SerializeToString(deterministic=True), name)
        tensor.name = name
        if names[name] != name:
            graph.initializer.remove(tensor)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
