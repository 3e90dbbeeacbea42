"""``edgesr pack --triton DIR --ensemble``: three models behind one name, the middle one also as a TensorRT engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgesr.compile.graph import Graph
from edgesr.compile.triton import NETWORK_FILE, PLAN_FILE, write_model
from edgesr.compile.triton_config import ServedModel, ServedTensor, Step
from edgesr.compile.triton_split import split_served
from edgesr.engines.plan import read_plan_header
from edgesr.errors import ModelError
from edgesr.model.onnx_file import OnnxGraph, read_graph
from edgesr.pipelines.load import cpu_probe
from edgesr.pipelines.serve_proof import Run
from edgesr.types import Array

SUFFIXES = ("before", "network", "after")
"""What is added to the name of an ensemble for its models."""
_NETWORK = "network"


@dataclass(frozen=True)
class Piece:
    """One model of an ensemble."""

    suffix: str
    content: bytes
    face: OnnxGraph


def make_pieces(whole: Graph, network: Graph, image: str, folder: Path) -> tuple[list[Piece], Run]:
    """Cut a served graph, keep its pieces in ``folder``, and return them with what runs them one after the other."""
    pieces, runs = [], []
    for suffix, graph in split_served(whole, network, image).named().items():
        path = folder / f"{suffix}.onnx"
        content = graph.bytes()
        path.write_bytes(content)
        pieces.append(Piece(suffix, content, read_graph(path)))
        runs.append(cpu_probe(path))

    def run(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        known = dict(arrays)
        for piece, one in zip(pieces, runs, strict=True):
            known |= one({tensor.name: known[tensor.name] for tensor in piece.face.inputs})
        return {name: known[name] for name in whole.outputs}

    return pieces, run


def write_ensemble(
    root: Path, served: ServedModel, pieces: list[Piece], files: Mapping[str, bytes], plan: bytes | None
) -> Path:
    """Write the pieces, then the ensemble of the name and face of ``served``; return its folder.

    ``plan`` is served in place of the network's ONNX file.
    """
    steps = []
    for piece in pieces:
        inputs, outputs = (_tensors(piece, side, served) for side in ("inputs", "outputs"))
        name = f"{served.name}-{piece.suffix}"
        picture, c = served.inputs[0], 1 if served.max_batch else 0
        h_w = served.warm_up[picture.name]
        # A server warms a model up by itself: the picture for the first, the network's own tensor for the second.
        shape = {"before": h_w, _NETWORK: _arranged(inputs[0], h_w, batched=bool(c))}.get(piece.suffix)
        others = {tensor.name: tensor.shape for tensor in inputs[1:]}
        is_plan = piece.suffix == _NETWORK and plan is not None
        model = replace(
            served,
            name=name,
            inputs=inputs,
            outputs=outputs,
            warm_up={inputs[0].name: shape, **others} if shape else {},
            parameters={},
            platform="tensorrt_plan" if is_plan else served.platform,
        )
        content = {PLAN_FILE: plan} if is_plan and plan is not None else {NETWORK_FILE: piece.content}
        labels = {file: data for file, data in files.items() if file in {tensor.labels for tensor in outputs}}
        write_model(root, model, {**content, **labels})
        steps.append(Step(name, tuple(t.name for t in inputs), tuple(t.name for t in outputs)))
    return write_model(root, replace(served, steps=tuple(steps), warm_up={}), files)


def read_plan(path: Path) -> tuple[bytes, str]:
    """Return a TensorRT engine and the version that it is of; raise ModelError for what is none."""
    header = read_plan_header(path)
    try:
        return path.read_bytes(), header.version_text
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; check the file") from None


def _tensors(piece: Piece, side: str, served: ServedModel) -> tuple[ServedTensor, ...]:
    labels = {tensor.name: tensor.labels for tensor in served.outputs}
    found = []
    for tensor in piece.face.inputs if side == "inputs" else piece.face.outputs:
        if tensor.shape is None or tensor.dtype is None:
            raise ModelError(f"{tensor.name!r} has no known rank, which no server can describe")
        named = labels.get(tensor.name, "") if side == "outputs" else ""
        found.append(ServedTensor(tensor.name, tensor.dtype, tensor.shape, named))
    return tuple(found)


def _arranged(tensor: ServedTensor, picture: tuple[int, ...], *, batched: bool) -> tuple[int, ...]:
    """Return the shape of a tensor for one picture: its channels where the network has them."""
    *batch, h, w, c = picture
    is_last = tensor.shape[-1] == c and tensor.shape[1] != c
    arranged = (h, w, c) if is_last else (c, h, w)
    return arranged if batched else (*batch, *arranged)
