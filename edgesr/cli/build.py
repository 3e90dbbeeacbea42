"""``edgesr build``: a network in the precision asked for, proven against FP32, as typed ONNX or as an engine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesr.cli.build_compare import document as compared
from edgesr.cli.build_compare import show
from edgesr.cli.build_embed import check_embedding, embedded
from edgesr.cli.build_engine import BuiltEngine, EngineBuild, Proof
from edgesr.cli.build_proof import open_proof
from edgesr.cli.build_report import accuracy, finite, kept, ranking, versions
from edgesr.cli.build_several import build_several
from edgesr.cli.build_shapes import choose_profile
from edgesr.cli.build_source import check_source, open_source
from edgesr.cli.build_target import engine_file, is_asked, why_none
from edgesr.cli.build_work import Work
from edgesr.cli.output import note, result, result_json
from edgesr.cli.progress import Progress
from edgesr.compile.artifact import gate_record, write_onnx, write_typed
from edgesr.compile.auto import Choice
from edgesr.compile.compare import Comparison
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import record_ranges
from edgesr.compile.shapes import show_profile
from edgesr.compile.simplify import simplify
from edgesr.compile.typed import Precision, Typed
from edgesr.compile.validate import takers
from edgesr.errors import BackendError, BuildError, UsageError
from edgesr.model import ModelPackage
from edgesr.model.onnx_file import read_graph
from edgesr.model.rules import NETWORK
from edgesr.pipelines.calibrate_labels import LabelProof


def execute(arguments: argparse.Namespace) -> int:
    """Convert the network, compare it with FP32, and write it."""
    precision = _precision(arguments)
    why_no_engine = why_none(arguments)
    package, reason = open_source(arguments)
    if package is not None:
        check_source(package, arguments)
    elif arguments.unroll is not None:
        raise UsageError("--unroll merges the steps of a latent diffusion; give a package of one")
    several = build_several(package) if package is not None else None
    if package is not None and several is not None:
        return several(package, precision, arguments, why_no_engine)
    check_embedding(package, arguments)
    onnx = package.part_path(NETWORK) if package else Path(arguments.onnx)
    graph = Graph.read(onnx, source=arguments.onnx or arguments.model)
    has_data = arguments.calib is not None or bool(package is not None and package.descriptor.golden)
    if arguments.int8 and not has_data:
        raise UsageError("INT8 needs data like that which the network will see: give a folder with --calib")
    engine: EngineBuild | None = None
    if not why_no_engine:
        try:
            engine = EngineBuild(arguments, package, onnx)
        except (BackendError, UsageError) as error:
            if is_asked(arguments):
                raise
            why_no_engine = str(error)
    with closing(engine) if engine else nullcontext():
        if engine is not None:
            engine.ask_about(graph, onnx)
        proof, told = open_proof(package, graph, arguments, engine.usual_shapes if engine else {})
        graph, simplified = (graph, "") if arguments.no_simplify else simplify(graph, proof.feeds[:2])
        with Progress("calibration runs", quiet=arguments.json) as progress:
            ranges = record_ranges(graph, proof.feeds, on_step=progress.show)
        work = Work(graph, ranges, proof, arguments)
        choice = _chosen(work, proof, engine, precision, arguments, package=package, with_int8=has_data)
        said = [text for text in (reason, f"calibrated on {told}", simplified, *choice.typed.notes) if text]
        if arguments.auto and not has_data:
            said.append("INT8 was not tried, as there is no data to calibrate it on (--calib)")
        calibration = {"data": told, "runs": ranges.runs, "sha256": ranges.digest}
        return _Outcome(arguments, package, work, proof, choice, said=said, calibration=calibration).finish(
            engine, why_no_engine
        )


class _Outcome:
    """A network that passed its gate, on its way to the user."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        package: ModelPackage | None,
        work: Work,
        proof: Proof,
        choice: Choice,
        *,
        said: list[str],
        calibration: dict[str, Any],
    ) -> None:
        self._arguments = arguments
        self._package = package
        self._work = work
        self._proof = proof
        self._choice = choice
        as_run = choice.verdict if choice.typed.half is None else work.compare(choice.typed, choice.typed.graph)
        self._typed = embedded(choice.typed, package, proof, arguments)
        self._record = {
            "calibration": calibration,
            "against_fp32": gate_record(choice.verdict),
            "against_fp32_in_onnxruntime": gate_record(as_run),
            "tensorrt": takers(self._typed.graph),
        }
        self._said = [*said, f"against FP32 {accuracy(choice.verdict)}"]
        if isinstance(proof, LabelProof) and choice.verdict.agreement is None:
            self._said.append("FP32 finds nothing in these pictures, so that no agreement was measured; give others")
        if arguments.auto:
            self._said += ranking(choice)
        if self._typed.embedded:
            self._said.append(f"pictures of {self._typed.embedded} go in and out, with the same bits as without")
        if choice.typed.half is not None:
            self._said.append(f"in ONNX Runtime on this CPU, which rounds FP16 in its own way, {accuracy(as_run)}")
        self._said += versions(self._record["tensorrt"])

    def finish(self, engine: EngineBuild | None, why_no_engine: str) -> int:
        """Write what was asked for, or with --dry-run say what that is."""
        typed = self._typed
        self._said += engine.warnings() if engine else []
        if self._arguments.dry_run:
            return self._rehearse(engine, why_no_engine)
        output = None if engine_file(self._arguments) else self._write()
        plan = self._try_engine(engine)
        place = output or (plan.path if plan else "")
        where = f"its engine is {plan.path}" if plan else f"no engine was built: {why_no_engine or 'it failed'}"
        headline = f"{typed.summary()}; " + ("" if output is None else "runs on any CPU; ") + where
        plain = self._choice.typed
        layers = self._work.layers(plain, engine if plan else None) if self._arguments.compare else {}
        self._tell([headline, *self._said], str(place), plan, layers)
        return 0

    def _rehearse(self, engine: EngineBuild | None, why_no_engine: str) -> int:
        typed = self._typed
        plans = engine.plans(typed) if engine else {"no_engine": why_no_engine}
        if engine is None and is_asked(self._arguments):
            onnx = self._package.part_path(NETWORK) if self._package else Path(self._arguments.onnx)
            profile = choose_profile(self._arguments, self._package, read_graph(onnx))
            plans["shapes"] = show_profile(profile) or "its own sizes"
        layers = self._work.layers(self._choice.typed) if self._arguments.compare else {}
        if self._arguments.json:
            compared_layers = {"comparison": compared(layers)} if layers else {}
            told = {"dry_run": True, **plans, "notes": self._said, **typed.document(), **self._record}
            result_json(finite({**told, **compared_layers}))
            return 0
        result(f"would build: {typed.summary()}")
        for name, value in plans.items():
            result(f"{name.replace('_', ' ')}: {value}")
        show(layers, as_json=False)
        for text in (*self._said, "nothing was written, as --dry-run was given"):
            note(text)
        return 0

    def _try_engine(self, engine: EngineBuild | None) -> BuiltEngine | None:
        """Build the engine; None where nobody asked for one and none can be built."""
        if engine is None:
            return None
        typed = self._typed
        try:
            return engine.build(typed, self._proof, self._work.engine_check(typed))
        except (BackendError, BuildError) as error:
            if is_asked(self._arguments):
                raise
            note(f"the engine is left out: {error}")
        return None

    def _write(self) -> Path:
        arguments, package, typed = self._arguments, self._package, self._typed
        stem = Path(arguments.onnx).stem if arguments.onnx else package.descriptor.name if package else ""
        suffix = ".onnx" if arguments.onnx else ".edgesr"
        output = Path(arguments.output or f"{stem}-{typed.precision}{suffix}")
        if package is not None:
            return write_typed(output, package, typed, self._record)
        if output.suffix.lower() != ".onnx":
            raise UsageError(f"{output}: a network that is no picture-to-picture model is written as .onnx")
        return write_onnx(output, typed)

    def _tell(self, said: list[str], output: str, plan: BuiltEngine | None, layers: Mapping[str, Comparison]) -> None:
        typed, choice = self._typed, self._choice
        if plan is not None:
            said = [*said, plan.told()]
        if not self._arguments.json:
            result(output)
            show(layers, as_json=False)
            for text in (*said, *kept(typed)):
                note(text)
            return
        document = {
            "output": output,
            "target": "engine" if plan else "onnx",
            "notes": said,
            **typed.document(),
            **self._record,
        }
        document["trials"] = [asdict(trial) for trial in choice.trials]
        document["milliseconds"] = dict(choice.milliseconds)
        document["sensitivity"] = [asdict(loss) for loss in choice.losses]
        document["engine"] = plan.document() if plan else None
        if layers:
            document["comparison"] = compared(layers)
        result_json(finite(document))


def _chosen(
    work: Work,
    proof: Proof,
    engine: EngineBuild | None,
    precision: Precision,
    arguments: argparse.Namespace,
    *,
    package: ModelPackage | None,
    with_int8: bool,
) -> Choice:
    if not arguments.auto:
        return work.single(precision)
    if engine is None or arguments.dry_run:
        return work.automatic(with_int8=with_int8)

    def rank(typed: Typed) -> float:
        return engine.milliseconds(embedded(typed, package, proof, arguments), proof, work.engine_check(typed))

    return work.automatic(with_int8=with_int8, rank=rank)


def _precision(arguments: argparse.Namespace) -> Precision:
    if arguments.auto and (arguments.fp16 or arguments.int8):
        raise UsageError("--auto chooses between FP32, FP16 and INT8 itself; give it without --fp16 and --int8")
    if arguments.int8:
        return "int8-fp16" if arguments.fp16 else "int8"
    return "fp16" if arguments.fp16 else "fp32"
