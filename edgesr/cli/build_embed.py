"""``edgesr build --embed-io``: a graph from picture to picture, in the grey levels of the runtime."""

from __future__ import annotations

import argparse
from dataclasses import replace

from edgesr.cli.build_engine import Proof
from edgesr.compile.artifact import describe_typed
from edgesr.compile.checks import check_network
from edgesr.compile.embed_io import embed_io
from edgesr.compile.typed import Typed
from edgesr.errors import UsageError
from edgesr.model import ModelPackage
from edgesr.pipelines.calibrate import PictureProof


def check_embedding(package: ModelPackage | None, arguments: argparse.Namespace) -> None:
    """Raise UsageError for a network that has no pictures at both ends, or options that contradict it."""
    if arguments.embed_io is None:
        return
    if package is None or package.descriptor.task != "restore":
        name = arguments.onnx if package is None else f"model {package.descriptor.name}"
        raise UsageError(f"--embed-io is for networks from picture to picture; {name} is none")
    if package.descriptor.embedded_io is not None:
        raise UsageError(f"model {package.descriptor.name} has its pictures in the graph already; leave out --embed-io")
    if arguments.io != "fp32":
        raise UsageError("--embed-io decides what goes in and out; leave out --io")


def embedded(typed: Typed, package: ModelPackage | None, proof: Proof, arguments: argparse.Namespace) -> Typed:
    """Return the network with pictures at both ends, proven on the calibration pictures to give the same bits."""
    kind = arguments.embed_io
    if kind is None or package is None or not isinstance(proof, PictureProof):
        return typed
    graph = embed_io(typed.graph, describe_typed(package, typed, {}), kind)
    check_network(graph)
    result = replace(typed, graph=graph, embedded=kind)
    proof.require_embedded(typed, result, kind)
    return result
