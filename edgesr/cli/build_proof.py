"""The pictures or tensors that ``edgesr build`` compares a network on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from edgesr.cli.build_engine import Proof
from edgesr.cli.progress import Progress
from edgesr.compile.graph import Graph
from edgesr.compile.tensors import TensorProof, tensor_feeds
from edgesr.model import ModelPackage
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.pipelines.calibrate import PictureProof, calibration_pictures
from edgesr.pipelines.calibrate_labels import LabelProof


def open_proof(
    package: ModelPackage | None, graph: Graph, arguments: argparse.Namespace, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Proof, str]:
    """Run the FP32 network on what it is compared on, and say what that is; ``shapes`` are those of random tensors."""
    if package is None:
        feeds, told = tensor_feeds(graph, arguments.calib, arguments.calib_count, shapes)
        return TensorProof(graph, feeds), told
    is_label = package.descriptor.task in LABEL_TASKS
    whole = {"side": None} if is_label else {}
    pictures, told = calibration_pictures(package, arguments.calib, count=arguments.calib_count, **whole)
    make = LabelProof if is_label else PictureProof
    with Progress("pictures", quiet=arguments.json) as progress:
        return make(package, pictures, on_step=progress.show), told
