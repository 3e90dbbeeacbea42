"""One network of several that ``edgesr build`` converts together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from edgesr.cli.build_engine import BuiltEngine, EngineBuild, Proof
from edgesr.cli.build_report import accuracy, kept, versions
from edgesr.cli.build_target import is_asked
from edgesr.cli.build_work import Work
from edgesr.cli.output import note
from edgesr.cli.progress import Progress
from edgesr.compile.artifact import gate_record, write_typed
from edgesr.compile.auto import Choice
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import record_ranges
from edgesr.compile.simplify import simplify
from edgesr.compile.typed import Precision
from edgesr.compile.validate import takers
from edgesr.errors import BackendError, BuildError, ModelError, UsageError
from edgesr.model import ModelPackage
from edgesr.model.rules import NETWORK


class Stage:
    """A network in its new precision, proven on what it is fed.

    ``or_higher`` lets a network that has no layer for INT8 stay in the precision that remains; one that has none for
    FP16 always stays in FP32.
    """

    def __init__(
        self,
        name: str,
        package: ModelPackage,
        proof: Proof,
        arguments: argparse.Namespace,
        *,
        precision: Precision,
        told: str,
        part: str = NETWORK,
        or_higher: bool = False,
    ) -> None:
        self.name = name
        self.part = part
        self._package = package
        self._proof = proof
        self._arguments = arguments
        graph = Graph.read(package.part_path(part), source=package.descriptor.name)
        simplified = ""
        if not arguments.no_simplify:
            graph, simplified = simplify(graph, proof.feeds[:2])
        with Progress(f"calibration runs of {name}", quiet=arguments.json) as progress:
            ranges = record_ranges(graph, proof.feeds, on_step=progress.show)
        self._work = Work(graph, ranges, proof, arguments)
        self.choice: Choice
        if or_higher or precision == "fp16":
            self.choice, why = self._work.or_higher(precision)
        else:
            self.choice, why = self._work.single(precision), ""
        typed = self.choice.typed
        self.record: dict[str, Any] = {
            "calibration": {"data": told, "runs": ranges.runs, "sha256": ranges.digest},
            "against_fp32": gate_record(self.choice.verdict),
            "tensorrt": takers(typed.graph),
        }
        self.said = [text for text in (why, simplified, *typed.notes) if text]

    def write(self, place: Path) -> Path:
        """Write a package of this network alone."""
        return write_typed(place, self._package, self.choice.typed, self.record)

    def engine(self) -> BuiltEngine | None:
        """Build the engine into the cache; None where nobody asked for one and none can be built."""
        typed = self.choice.typed
        try:
            onnx = self._package.part_path(self.part)
            with closing(EngineBuild(self._arguments, self._package, onnx, self.part)) as engine:
                return engine.build(typed, self._proof, self._work.engine_check(typed))
        except (BackendError, BuildError, UsageError) as error:
            if is_asked(self._arguments):
                raise
            note(f"the engine of {self.name} is left out: {error}")
        return None

    def lines(self) -> list[str]:
        """Say what became of the network."""
        typed = self.choice.typed
        head = f"{typed.summary()}; against FP32 {accuracy(self.choice.verdict)}"
        texts = [head, *self.said, *versions(self.record["tensorrt"]), *kept(typed)]
        return [f"{self.name}: {text}" for text in texts]

    def document(self) -> dict[str, Any]:
        """Return the same as JSON data."""
        return {**self.choice.typed.document(), **self.record, "notes": self.said}


def require_lowered(built: Sequence[Stage], precision: Precision, name: str) -> None:
    """Raise ModelError where none of the networks of a package has the precision that was asked for."""
    if all(stage.choice.typed.precision != precision for stage in built):
        why = (
            "nothing of its networks can be FP16; keep FP32"
            if precision == "fp16"
            else "neither of its networks has a layer that INT8 could take; use --fp16"
        )
        raise ModelError(f"model {name}: {why}")
