"""From a torch module to an ONNX file of standard operators, with the current exporter or the legacy one."""

import contextlib
import io
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import onnx
import onnxruntime
import torch
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from torch import Tensor, nn

from edgesr.errors import BuildError
from export.exporting.opset import lowered
from export.say import saying_through

INPUT = "image"
STANDARD = ("", "ai.onnx")
NEWEST = 20
"""The highest opset of a target."""


@dataclass(frozen=True)
class Traced:
    """An exported network."""

    model: onnx.ModelProto
    exporter: str
    """``current`` or ``legacy``, with the reason why the current one was not taken."""


def export_onnx(
    network: nn.Module,
    example: Tensor,
    outputs: Sequence[str],
    *,
    opset: int,
    scale: int | None,
    multiple: int = 1,
    is_dynamic: bool = True,
    input_name: str = INPUT,
) -> Traced:
    """Export a network in evaluation mode; the input is called ``image`` unless ``input_name`` says otherwise.

    With ``is_dynamic`` batch, height and width are left open, sides as multiples of ``multiple``; with 0 the batch
    alone. ``scale`` is that of outputs which are pictures, None for others. Raise BuildError when neither exporter
    makes a valid graph of standard operators.
    """
    names = (input_name, *outputs)
    reasons = []
    for name, export in (("current", _export_current), ("legacy", _export_legacy)):
        try:
            with tempfile.TemporaryDirectory(prefix="edgesr-") as folder, silence():
                path = Path(folder) / "network.onnx"
                export(network, example, names, path, opset=opset, multiple=multiple if is_dynamic else None)
                model = lowered(_folded(path), opset)
            _tidy(model)
            if is_dynamic:
                _name_sides(model, scale)
            _check(model, opset, is_dynamic)
        except Exception as error:  # exporters raise whatever the traced code and their own passes raise
            reasons.append(f"{name} exporter: {_reason(error)}")
            continue
        return Traced(model, "; ".join([name, *reasons]))
    hints = ["a fixed size (--tile, or size=)"] * is_dynamic + ["a newer --target"] * (opset < NEWEST)
    hint = f"; {' or '.join(hints)} may work" if hints else ""
    raise BuildError(f"no exporter of PyTorch {torch.__version__} takes this network: {'; '.join(reasons)}{hint}")


def _reason(error: Exception) -> str:
    """Return what went wrong without the exporter's own advice and colours."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error.__cause__ or error)).split())[:240]


def opened(model: onnx.ModelProto) -> Callable[[Tensor], list[Tensor]]:
    """Return what runs a graph on one batch ``(N, C, H, W)`` in ONNX Runtime, without its optimisations."""
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: [torch.from_numpy(value) for value in session.run(None, {name: image.numpy()})]


def _export_current(
    network: nn.Module, example: Tensor, names: Sequence[str], path: Path, *, opset: int, multiple: int | None
) -> None:
    shapes: tuple[dict[int, Any], ...] | None = None
    if multiple == 0:
        shapes = ({0: torch.export.Dim("batch")},)
    elif multiple is not None:
        sides = [torch.export.Dim(name, min=2) for name in ("rows", "columns")]
        sides = [multiple * side if multiple > 1 else side for side in sides]
        shapes = ({0: torch.export.Dim("batch"), 2: sides[0], 3: sides[1]},)
    # A batch of one would be taken for a constant.
    sample = example.repeat(2, 1, 1, 1) if multiple is not None and len(example) == 1 else example
    program = torch.onnx.export(
        network,
        (sample,),
        input_names=[names[0]],
        output_names=list(names[1:]),
        dynamic_shapes=shapes,
        opset_version=opset,
        dynamo=True,
        verbose=False,
    )
    program.save(str(path))


def _export_legacy(
    network: nn.Module, example: Tensor, names: Sequence[str], path: Path, *, opset: int, multiple: int | None
) -> None:
    axes = None
    if multiple is not None:
        open_axes = {0: "batch", 2: "height", 3: "width"} if multiple else {0: "batch"}
        axes = dict.fromkeys(names, open_axes)
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=[names[0]],
        output_names=list(names[1:]),
        dynamic_axes=axes,
        opset_version=opset,
        dynamo=False,
    )


def _folded(path: Path) -> onnx.ModelProto:
    """Replace arithmetic on constants by the constants with ONNX Runtime's basic passes; keep standard operators."""
    target = path.with_name("folded.onnx")
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    folded, plain = onnx.load(target), onnx.load(path)
    return plain if any(node.domain not in STANDARD for node in folded.graph.node) else folded


def _tidy(model: onnx.ModelProto) -> None:
    opset = next(entry.version for entry in model.opset_import if entry.domain in STANDARD)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))
    del model.metadata_props[:]
    del model.functions[:]
    model.producer_name, model.doc_string = "edgesr", ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.value_info[:]


def _name_sides(model: onnx.ModelProto, scale: int | None) -> None:
    """Name what is open: the sides of pictures after the input's, those of other outputs after themselves."""
    suffix = f"_x{scale}" if scale and scale > 1 else ""
    for place, value in enumerate((*model.graph.input, *model.graph.output)):
        own = suffix if place else ""
        names = {0: "batch", 2: f"height{own}", 3: f"width{own}"}
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value") and not (scale and axis in names):
                continue
            is_picture = place == 0 or scale is not None or axis == 0
            dimension.dim_param = names[axis] if is_picture and axis in names else f"{value.name}_{axis}"


def _check(model: onnx.ModelProto, opset: int, is_dynamic: bool) -> None:
    found = model.opset_import[0].version
    if found > opset:
        raise BuildError(f"the graph has opset {found}, the target takes {opset}")
    onnx.checker.check_model(model, full_check=True)
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in model.graph.node if n.domain not in STANDARD})
    if foreign:
        raise BuildError(f"{', '.join(foreign)} is no standard operator")
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    if is_dynamic and batch.HasField("dim_value"):
        raise BuildError("the exporter fixed the batch")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep the exporters' progress and advice off the terminal; what matters comes as an exception."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _without_streams():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _is_console(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == 2
    except (OSError, ValueError):  # a stream in memory
        return False


@contextlib.contextmanager
def _without_streams() -> Iterator[None]:
    """Keep away what C++ code writes, such as the whole graph that the legacy exporter fails on."""
    kept: dict[int, int] = {}
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        for number in (1, 2):
            with contextlib.suppress(OSError):  # a closed stream needs no silence
                kept[number] = os.dup(number)
                os.dup2(nowhere.fileno(), number)
        if 2 in kept and _is_console(sys.stderr):
            stack.enter_context(saying_through(stack.enter_context(os.fdopen(os.dup(kept[2]), "w", buffering=1))))
        try:
            yield
        finally:
            for number, stream in kept.items():
                os.dup2(stream, number)
                os.close(stream)
