"""The pictures or tensors that ``edgesr build`` compares a network on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from time import monotonic

from edgesr.cli.build_engine import Proof
from edgesr.cli.output import note
from edgesr.cli.progress import Progress
from edgesr.compile.durations import show_seconds
from edgesr.compile.graph import Graph
from edgesr.compile.tensors import TensorProof, tensor_feeds
from edgesr.model import ModelPackage
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.pipelines.calibrate import PictureProof, calibration_pictures
from edgesr.pipelines.calibrate_labels import LabelProof

_RUNS = 7
"""Of the network for each picture, in all: in FP32 to be compared with, with its tensors recorded, and lowered."""
_LONG = 15.0
"""Seconds from which they are told beforehand."""


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
        expected = _Expected(progress, quiet=arguments.json)
        return make(package, pictures, on_step=expected.show), told


class _Expected:
    """Progress that says after the first picture how long calibration and comparison will take."""

    def __init__(self, progress: Progress, *, quiet: bool) -> None:
        self._progress = progress
        self._quiet = quiet
        self._start = monotonic()

    def show(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` pictures are finished."""
        seconds = (monotonic() - self._start) * total * _RUNS
        if done == 1 and seconds >= _LONG and not self._quiet:
            note(f"calibration and comparison on {total} pictures will take about {show_seconds(seconds)}")
        self._progress.show(done, total)
