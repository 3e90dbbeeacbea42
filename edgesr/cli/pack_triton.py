"""``edgesr pack MODEL --triton DIR``: a model for the repository of a Triton Inference Server."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.cli.output import note, result, result_json
from edgesr.cli.pack_ensemble import SUFFIXES, Piece, make_pieces, read_plan, write_ensemble
from edgesr.cli.run import expectations
from edgesr.compile.embed_io import Kind
from edgesr.compile.graph import HALF, Graph
from edgesr.compile.triton import LABELS, NETWORK_FILE, about, check_place, readme, write_model
from edgesr.compile.triton_config import ServedModel, ServedTensor, is_known
from edgesr.compile.triton_graph import SCORES, served_graph
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelDescriptor, ModelPackage
from edgesr.model.chain import check_stages, stages
from edgesr.model.onnx_file import OnnxGraph, read_graph
from edgesr.model.rules import NETWORK
from edgesr.pipelines.controls import Vector, resolve_controls, show_controls
from edgesr.pipelines.load import cpu_probe, open_model
from edgesr.pipelines.place import chained
from edgesr.pipelines.serve_proof import Run, ServeProof, prove_served, served_names, served_size
from edgesr.types import Array

_MAX_BATCH = 8


def pack_triton(arguments: argparse.Namespace) -> int:
    """Write the model into the repository and print where it is."""
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        return _pack(arguments, Path(folder))


def _pack(arguments: argparse.Namespace, folder: Path) -> int:
    said: list[str] = []
    package, given = _opened(arguments, folder, said)
    descriptor, root = package.descriptor, Path(arguments.triton)
    name = arguments.name or descriptor.name
    is_ensemble = arguments.ensemble or arguments.plan is not None
    if is_ensemble and descriptor.embedded_io is not None:
        raise UsageError(f"model {descriptor.name} was built with --embed-io and is one graph; leave out --ensemble")
    check_place(root, (name, *(f"{name}-{suffix}" for suffix in SUFFIXES if is_ensemble)), force=arguments.force)
    plan, tensorrt = read_plan(Path(arguments.plan)) if arguments.plan is not None else (None, "")
    kind = _kind(descriptor, arguments.embed_io)
    controls = _controls(descriptor, given, arguments.as_input or [], said)
    shown = {key: _text(value) for key, value in show_controls(descriptor, dict(controls)).items()}
    fixed = {role: vector for role, vector in controls.items() if role not in (arguments.as_input or [])}
    source = Graph.read(package.part_path(NETWORK), source=descriptor.name)
    whole = served_graph(source, descriptor, kind, fixed)
    part = descriptor.parts[NETWORK]
    feed = {part.inputs[role]: _array(source, part.inputs[role], controls[role]) for role in controls.keys() - fixed}
    path = folder / "model.onnx"
    path.write_bytes(whole.bytes())
    face = read_graph(path)
    others = [tensor.name for tensor in face.inputs[1:] if tensor.name not in feed]
    if others:
        raise ModelError(f"{descriptor.name}: its network also takes {', '.join(others)}, which no request could hold")
    names = served_names(descriptor, tuple(t.name for t in face.inputs), _suffix(descriptor, kind))
    pieces: list[Piece] = []
    run: Run = cpu_probe(path)
    if is_ensemble:
        pieces, run = make_pieces(whole, source, part.inputs["image"], folder)
    proof = prove_served(package, lambda arrays: run({**arrays, **feed}), kind, controls, names)
    if feed and arguments.max_batch:
        raise UsageError(
            f"--max-batch {arguments.max_batch}: a control of --as-input holds for a whole run; leave one out"
        )
    max_batch = 0 if feed else _max_batch(face, proof, arguments.max_batch, descriptor.name)
    files = {}
    if descriptor.task == "classify" and descriptor.labels:
        files[LABELS] = ("\n".join(descriptor.labels) + "\n").encode("utf-8")
    warm_up = {names[0]: _warm_up(face, descriptor, arguments.warm_up, max_batch)}
    served = ServedModel(
        name,
        tuple(_tensor(tensor, "") for tensor in _tensors(face, "inputs")),
        tuple(_tensor(t, _labels(t[0], names[1], LABELS in files)) for t in _tensors(face, "outputs")),
        max_batch,
        instances=arguments.instances or 1,
        warm_up={**warm_up, **{tensor: array.shape for tensor, array in feed.items()}},
        parameters=about(descriptor, package.digest, shown),
    )
    said += _about_proof(proof, max_batch, 0 if feed else arguments.max_batch)
    if feed:
        said.append(f"every request gives {', '.join(feed)}, so requests are not batched")
    if plan is not None:
        said.append(f"the engine needs a server with TensorRT {tensorrt}; it was not compared with the network")
    files["README.txt"] = readme(descriptor, served.parameters, tuple(said))
    if is_ensemble:
        place = write_ensemble(root, served, pieces, files, plan)
    else:
        place = write_model(root, served, {NETWORK_FILE: whole.bytes(), **files})
    if arguments.json:
        document: dict[str, Any] = {"model": str(place), "name": name, "max_batch_size": max_batch}
        result_json({**document, "exact": proof.is_exact, "controls": shown, "notes": [*package.notes, *said]})
        return 0
    result(str(place))
    for text in (*package.notes, *said):
        note(text)
    return 0


def _opened(arguments: argparse.Namespace, folder: Path, said: list[str]) -> tuple[ModelPackage, dict[str, Any]]:
    """Open the model, a chain fused to one graph in ``folder``, and return the controls that are left to be set.

    Raise UsageError for one that is not one network.
    """
    given = dict(arguments.set or [])
    both = chained(arguments.onnx)
    if both is not None:
        return _fused((open_model(both[0]), open_model(both[1])), arguments, folder, said), {}
    package = open_model(arguments.onnx, expects=expectations(arguments))
    descriptor = package.descriptor
    if descriptor.task == "chain":
        return _fused(stages(package), arguments, folder, said), {}
    if arguments.fused or arguments.size:
        raise UsageError("--fused and --size are for RESTORATION+TASK, two packages with one + between them")
    if descriptor.task == "latent-diffusion":
        raise UsageError(
            f"model {descriptor.name} is a latent diffusion, which takes noise and blends tiles after every step; a "
            "server cannot do that with graphs alone, run it with edgesr run"
        )
    if len(descriptor.parts) > 1:
        raise UsageError(f"model {descriptor.name} has several networks with code between them; a server takes one")
    return package, given


def _fused(
    both: tuple[ModelPackage, ModelPackage], arguments: argparse.Namespace, folder: Path, said: list[str]
) -> ModelPackage:
    if arguments.as_input:
        raise UsageError(f"--as-input {arguments.as_input[0]}: a chain in one graph has fixed controls; use --set")
    from edgesr.pipelines.fuse_chain import fuse_chain

    check_stages(both[0].descriptor, both[1].descriptor, arguments.onnx)
    name = arguments.name or f"{both[0].descriptor.name}-{both[1].descriptor.name}"
    size = None if arguments.size is None else (arguments.size[0], arguments.size[1])
    controls = dict(arguments.set or [])
    path = folder / "chain.edgesr"
    return fuse_chain(path, *both, name=name, version="1.0.0", size=size, controls=controls, say=said.append)


def _kind(descriptor: ModelDescriptor, asked: Kind | None) -> Kind:
    inside: Any = descriptor.embedded_io
    if inside is not None and asked not in (None, inside):
        raise UsageError(f"model {descriptor.name} was built with --embed-io {inside}; leave out --embed-io {asked}")
    return inside or asked or "uint8"


def _suffix(descriptor: ModelDescriptor, kind: Kind) -> str:
    return "" if descriptor.embedded_io else f"_{kind}"


def _array(graph: Graph, tensor: str, vector: Vector) -> Array:
    """Return a control as the network takes it."""
    shape = tuple(max(n, 1) for n in graph.shapes[tensor])
    return np.asarray(vector, np.float16 if graph.types[tensor] == HALF else np.float32).reshape(shape)


def _controls(
    descriptor: ModelDescriptor, given: Mapping[str, Any], asked: list[str], said: list[str]
) -> dict[str, Vector]:
    """Return a vector for every control; ``said`` gets a line about those that edgesr run decides by picture."""
    values = {}
    for name in asked:
        if name not in descriptor.controls:
            known = ", ".join(descriptor.controls) or "none"
            raise UsageError(f"--as-input {name}: model {descriptor.name} has no such control (it has: {known})")
        if name in given:
            raise UsageError(f"--as-input {name}: every request gives it; leave out --set {name}")
    for name, value in resolve_controls(descriptor, given).items():
        default = descriptor.controls[name].default
        values[name] = default if value is None else value
        if value is None and name not in asked:
            chosen = _text(show_controls(descriptor, {name: default})[name])
            said.append(f"{name} is {chosen} for every picture, where edgesr run looks at each; change it with --set")
    return values


def _text(value: Any) -> str:
    return ", ".join(f"{n:g}" for n in value) if isinstance(value, list) else str(value)


def _max_batch(face: OnnxGraph, proof: ServeProof, asked: int | None, name: str) -> int:
    is_open = all(tensor.shape and tensor.shape[0] == -1 for tensor in (*face.inputs, *face.outputs))
    if is_open and proof.is_batched:
        return _MAX_BATCH if asked is None else asked
    if asked:
        raise UsageError(f"--max-batch {asked}: the network of {name} takes one picture at a time; leave it out")
    return 0


def _tensors(face: OnnxGraph, side: str) -> list[tuple[str, str, tuple[int, ...]]]:
    found = []
    for tensor in face.inputs if side == "inputs" else face.outputs:
        if tensor.shape is None or not is_known(tensor.dtype):
            raise ModelError(f"{tensor.name!r} has {tensor.dtype} of unknown rank, which no server can describe")
        found.append((tensor.name, tensor.dtype, tensor.shape))
    return found


def _tensor(tensor: tuple[str, str, tuple[int, ...]], labels: str) -> ServedTensor:
    return ServedTensor(*tensor, labels=labels)


def _labels(name: str, outputs: Mapping[str, str], has_labels: bool) -> str:
    return LABELS if has_labels and name in (outputs.get("logits"), SCORES) else ""


def _warm_up(face: OnnxGraph, descriptor: ModelDescriptor, asked: list[int] | None, max_batch: int) -> tuple[int, ...]:
    """Return the shape of the first request: the model's own size, or what was asked for where the graph takes it."""
    shape = face.inputs[0].shape or ()
    own = shape[1:3]
    size = tuple(asked or served_size(descriptor))
    m = descriptor.size.multiple
    for side, known in zip(size, own, strict=True):
        if asked and (known not in (-1, side) or side % m or side < descriptor.size.minimum):
            raise UsageError(f"--warm-up {size[0]}x{size[1]}: the network takes {_sizes(own, m, descriptor)}")
    known_size = tuple(known if known > 0 else side for known, side in zip(own, size, strict=True))
    picture = (*known_size, shape[3])
    return picture if max_batch else (1, *picture)


def _sizes(own: tuple[int, ...], multiple: int, descriptor: ModelDescriptor) -> str:
    if min(own) > 0:
        return f"{own[0]}x{own[1]}"
    return f"sides from {descriptor.size.minimum} on" + (f" in multiples of {multiple}" if multiple > 1 else "")


def _about_proof(proof: ServeProof, max_batch: int, asked: int | None) -> list[str]:
    said = ["a picture gets the bits of edgesr run" if proof.is_exact else "a picture is within rounding of edgesr run"]
    if max_batch:
        said.append(f"requests of one size run in batches of up to {max_batch}; single values may be off by rounding")
    elif asked is None:
        said.append("the network takes one picture at a time, so requests are not batched")
    return said
