"""``edgesr pack MODEL --triton DIR``: a model for the repository of a Triton Inference Server."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesr.cli.output import note, result, result_json
from edgesr.cli.run import expectations
from edgesr.compile.embed_io import Kind
from edgesr.compile.graph import Graph
from edgesr.compile.triton import LABELS, NETWORK_FILE, about, check_place, readme, write_model
from edgesr.compile.triton_config import ServedModel, ServedTensor, is_known
from edgesr.compile.triton_graph import SCORES, served_graph
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelDescriptor, ModelPackage
from edgesr.model.onnx_file import OnnxGraph, read_graph
from edgesr.model.rules import NETWORK
from edgesr.pipelines.controls import Vector, resolve_controls, show_controls
from edgesr.pipelines.load import cpu_probe, open_model
from edgesr.pipelines.place import chained
from edgesr.pipelines.serve_proof import ServeProof, prove_served, served_names, served_size

_MAX_BATCH = 8


def pack_triton(arguments: argparse.Namespace) -> int:
    """Write the model into the repository and print where it is."""
    package = _opened(arguments)
    descriptor, root = package.descriptor, Path(arguments.triton)
    name = arguments.name or descriptor.name
    check_place(root, (name,), force=arguments.force)
    kind = _kind(descriptor, arguments.embed_io)
    controls, said = _controls(descriptor, arguments.set)
    shown = {key: _text(value) for key, value in show_controls(descriptor, dict(controls)).items()}
    source = Graph.read(package.part_path(NETWORK), source=descriptor.name)
    content = served_graph(source, descriptor, kind, controls).bytes()
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        face = read_graph(path)
        if len(face.inputs) != 1:
            others = ", ".join(tensor.name for tensor in face.inputs[1:])
            raise ModelError(f"{descriptor.name}: its network also takes {others}, which no request could hold")
        names = served_names(descriptor, tuple(t.name for t in face.inputs), _suffix(descriptor, kind))
        proof = prove_served(package, cpu_probe(path), kind, controls, names)
    max_batch = _max_batch(face, proof, arguments.max_batch, descriptor.name)
    files = {NETWORK_FILE: content}
    if descriptor.task == "classify" and descriptor.labels:
        files[LABELS] = ("\n".join(descriptor.labels) + "\n").encode("utf-8")
    served = ServedModel(
        name,
        tuple(_tensor(tensor, "") for tensor in _tensors(face, "inputs")),
        tuple(_tensor(t, _labels(t[0], names[1], LABELS in files)) for t in _tensors(face, "outputs")),
        max_batch,
        instances=arguments.instances or 1,
        warm_up={names[0]: _warm_up(face, descriptor, arguments.warm_up, max_batch)},
        parameters=about(descriptor, package.digest, shown),
    )
    said += _about_proof(proof, max_batch, arguments.max_batch)
    files["README.txt"] = readme(descriptor, served.parameters, tuple(said))
    place = write_model(root, served, files)
    if arguments.json:
        document: dict[str, Any] = {"model": str(place), "name": name, "max_batch_size": max_batch}
        result_json({**document, "exact": proof.is_exact, "controls": shown, "notes": [*package.notes, *said]})
        return 0
    result(str(place))
    for text in (*package.notes, *said):
        note(text)
    return 0


def _opened(arguments: argparse.Namespace) -> ModelPackage:
    """Open the model; raise UsageError for one that is not one network."""
    if chained(arguments.onnx) is not None:
        raise UsageError(f"{arguments.onnx}: make one graph of both first: edgesr pack {arguments.onnx} --fused -o ...")
    package = open_model(arguments.onnx, expects=expectations(arguments))
    descriptor = package.descriptor
    if descriptor.task == "latent-diffusion":
        raise UsageError(
            f"model {descriptor.name} is a latent diffusion, which takes noise and blends tiles after every step; a "
            "server cannot do that with graphs alone, run it with edgesr run"
        )
    if descriptor.task == "chain":
        raise UsageError(f"model {descriptor.name} is a chain of two; fuse them first: edgesr pack A+B --fused -o ...")
    if len(descriptor.parts) > 1:
        raise UsageError(f"model {descriptor.name} has several networks with code between them; a server takes one")
    return package


def _kind(descriptor: ModelDescriptor, asked: Kind | None) -> Kind:
    inside: Any = descriptor.embedded_io
    if inside is not None and asked not in (None, inside):
        raise UsageError(f"model {descriptor.name} was built with --embed-io {inside}; leave out --embed-io {asked}")
    return inside or asked or "uint8"


def _suffix(descriptor: ModelDescriptor, kind: Kind) -> str:
    return "" if descriptor.embedded_io else f"_{kind}"


def _controls(descriptor: ModelDescriptor, given: list[tuple[str, Any]] | None) -> tuple[dict[str, Vector], list[str]]:
    """Return a vector for every control, and what is said about those that edgesr run decides by picture."""
    values, said = {}, []
    for name, value in resolve_controls(descriptor, dict(given or [])).items():
        default = descriptor.controls[name].default
        values[name] = default if value is None else value
        if value is None:
            chosen = _text(show_controls(descriptor, {name: default})[name])
            said.append(f"{name} is {chosen} for every picture, where edgesr run looks at each; change it with --set")
    return values, said


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
