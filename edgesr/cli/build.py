"""``edgesr build``: a network in the precision asked for, proven against FP32, as typed ONNX or as an engine."""

from __future__ import annotations

import argparse
import importlib.util
import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgesr.cli.output import note, result, result_json
from edgesr.cli.progress import Progress
from edgesr.cli.run import expectations
from edgesr.compile.artifact import gate_record, write_typed
from edgesr.compile.auto import Choice, Search
from edgesr.compile.emulate import emulated
from edgesr.compile.feeds import Feed
from edgesr.compile.gate import DEFAULTS, Picture, Run, Thresholds, Verdict, compare_runs, find_worst_layer, require
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import Ranges, record_ranges
from edgesr.compile.simplify import simplify
from edgesr.compile.typed import Options, Precision, Typed, convert
from edgesr.errors import BackendError, ModelError, UsageError
from edgesr.model import ModelPackage, open_package
from edgesr.model.rules import NETWORK
from edgesr.pipelines.calibrate import calibration_pictures, opened_run, record_feeds
from edgesr.pipelines.load import open_model


def execute(arguments: argparse.Namespace) -> int:
    """Convert the network, compare it with FP32, and write it."""
    precision = _precision(arguments)
    target, reason = _target(arguments.target)
    package = _package(arguments)
    if precision != "fp32" and arguments.int8 and arguments.calib is None and not package.descriptor.golden:
        raise UsageError("INT8 needs pictures like those it will see: give a folder with --calib")
    output = Path(arguments.output or _default_output(arguments, package, precision))
    pictures, told = calibration_pictures(package, arguments.calib, count=arguments.calib_count)
    with ExitStack() as stack:
        with Progress("pictures", quiet=arguments.json) as progress:
            feeds = record_feeds(package, pictures, on_step=progress.show)
        graph = Graph.read(package.part_path(NETWORK))
        graph, simplified = (graph, "") if arguments.no_simplify else simplify(graph, feeds[:2])
        with Progress("calibration runs", quiet=arguments.json) as progress:
            ranges = record_ranges(graph, feeds, on_step=progress.show)
        reference = stack.enter_context(opened_run(package))
        work = _Work(package, graph, ranges, feeds, pictures=pictures, reference=reference, arguments=arguments)
        choice = work.automatic() if arguments.auto else work.single(precision)
        as_run = work.as_it_runs(choice.typed)
        record = {
            "calibration": {"pictures": told, "runs": ranges.runs, "sha256": ranges.digest},
            "against_fp32": gate_record(choice.verdict),
            "against_fp32_in_onnxruntime": gate_record(as_run),
        }
        if target == "engine":
            raise BackendError("edgesr build --target engine is not wired to its builder")
        write_typed(output, package, choice.typed, record)
    said = [f"{choice.typed.summary()}; runs on any CPU; no engine was built: {reason}", f"calibrated on {told}"]
    said += [text for text in (simplified, *choice.typed.notes) if text]
    said.append(f"against FP32 {_accuracy(choice.verdict)}")
    if choice.typed.half is not None:
        said.append(f"in ONNX Runtime on this CPU, which rounds FP16 in its own way: {_accuracy(as_run)}")
    if arguments.json:
        document = {"output": str(output), "target": "onnx", "notes": said, **choice.typed.document(), **record}
        document["trials"] = [asdict(trial) for trial in choice.trials]
        document["sensitivity"] = [asdict(loss) for loss in choice.losses]
        result_json(_finite(document))
        return 0
    result(str(output))
    for text in (*said, *_kept(choice.typed)):
        note(text)
    return 0


class _Work:
    """One model with everything that its networks are made of and compared with."""

    def __init__(
        self,
        package: ModelPackage,
        graph: Graph,
        ranges: Ranges,
        feeds: Sequence[Feed],
        *,
        pictures: Sequence[Picture],
        reference: Run,
        arguments: argparse.Namespace,
    ) -> None:
        self._package = package
        self._graph = graph
        self._ranges = ranges
        self._feeds = feeds
        self._pictures = pictures
        self._reference = reference
        self._arguments = arguments
        self._options = Options(io=arguments.io, calibrator=arguments.calibrator, exclude=arguments.exclude)

    def single(self, precision: Precision) -> Choice:
        """Return the network in one precision; INT8 gives up as many layers as the gate demands."""
        thresholds = self._thresholds(precision)
        if "int8" in precision:
            choice = self._search(thresholds).mixed(precision)
            if choice is not None:
                return choice
        typed = convert(self._graph, self._ranges, precision, self._options)
        if typed.quantized is not None and not typed.quantized.quantized:
            raise ModelError(f"{self._graph.source}: has no layer that INT8 could take; use --fp16")
        verdict = self.evaluate(typed)
        self._require(typed, verdict, thresholds)
        return Choice(typed, verdict)

    def automatic(self) -> Choice:
        """Return the cheapest network that reaches the thresholds."""
        return self._search(self._thresholds("fp16")).cheapest()

    def evaluate(self, typed: Typed) -> Verdict:
        """Compare a network with FP32 on every picture, through the pipeline, with FP16 rounded as it is stored."""
        return self._compare(replace(typed, graph=emulated(typed.graph)))

    def as_it_runs(self, typed: Typed) -> Verdict:
        """Compare the written network with FP32, as ONNX Runtime computes it here."""
        return self._compare(typed)

    def _compare(self, typed: Typed) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            place = write_typed(Path(folder) / "candidate", self._package, typed, {})
            with opened_run(open_package(place)) as candidate:
                return compare_runs(self._reference, candidate, self._pictures)

    def _search(self, thresholds: Thresholds) -> Search:
        return Search(
            self._graph, self._ranges, self._feeds, self._options, evaluate=self.evaluate, thresholds=thresholds
        )

    def _thresholds(self, precision: Precision) -> Thresholds:
        given = self._arguments
        start = DEFAULTS["int8" if "int8" in precision else precision]
        changes = {"min_psnr": given.min_psnr, "min_ssim": given.min_ssim, "max_abs": given.max_abs}
        return replace(start, **{name: value for name, value in changes.items() if value is not None})

    def _require(self, typed: Typed, verdict: Verdict, thresholds: Thresholds) -> None:
        name = verdict.worst[0]
        index = [picture.name for picture in self._pictures].index(name)
        feed = self._feeds[min(index, len(self._feeds) - 1)]
        require(
            verdict,
            thresholds,
            what=f"{self._package.descriptor.name} in {typed.precision}",
            worst_layer=lambda: find_worst_layer(self._graph, emulated(typed.graph), feed),
        )


def _precision(arguments: argparse.Namespace) -> Precision:
    if arguments.auto and (arguments.fp16 or arguments.int8):
        raise UsageError("--auto chooses between FP32, FP16 and INT8 itself; give it without --fp16 and --int8")
    if arguments.int8:
        return "int8-fp16" if arguments.fp16 else "int8"
    return "fp16" if arguments.fp16 else "fp32"


def _target(asked: str | None) -> tuple[str, str]:
    """Return ``onnx`` or ``engine``, and why no engine is built."""
    if asked == "onnx":
        return "onnx", "--target onnx was asked for"
    if importlib.util.find_spec("tensorrt") is None:
        if asked == "engine":
            raise BackendError("TensorRT is not installed here, so no engine can be built; use --target onnx")
        return "onnx", "TensorRT is not here"
    if importlib.util.find_spec("edgesr.compile.builder") is None:
        if asked == "engine":
            raise BackendError("this version of edgesr does not build engines; use --target onnx and trtexec")
        return "onnx", "this version of edgesr does not build engines"
    return "engine", ""


def _package(arguments: argparse.Namespace) -> ModelPackage:
    if (arguments.model is None) == (arguments.onnx is None):
        raise UsageError("name one model: a package or name as MODEL, or an ONNX file with --onnx")
    package = open_model(arguments.onnx or arguments.model, expects=expectations(arguments))
    if package.descriptor.task != "restore":
        raise ModelError(
            f"model {package.descriptor.name} has task {package.descriptor.task!r}; this version builds 'restore'"
        )
    return package


def _default_output(arguments: argparse.Namespace, package: ModelPackage, precision: str) -> str:
    kind = "auto" if arguments.auto else precision
    return f"{Path(arguments.onnx).stem}-{kind}.onnx" if arguments.onnx else f"{package.descriptor.name}-{kind}.edgesr"


def _accuracy(verdict: Verdict) -> str:
    name, worst = verdict.worst
    ssim = min(difference.ssim for _, difference in verdict.pictures)
    largest = max(difference.max_abs for _, difference in verdict.pictures)
    if worst.psnr == math.inf:
        return f"on {len(verdict.pictures)} pictures: no difference"
    return (
        f"on {len(verdict.pictures)} pictures: PSNR at least {worst.psnr:.1f} dB ({name}), "
        f"SSIM at least {ssim:.5f}, largest difference {largest * 255:.3f} of 255 levels"
    )


def _kept(typed: Typed) -> list[str]:
    """Say how many nodes stay in which precision, and why."""
    lines = []
    for label, reasons in (
        ("in FP32", typed.half.fp32 if typed.half else {}),
        ("not in INT8", typed.quantized.skipped if typed.quantized else {}),
    ):
        counts: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            counts.setdefault(reason, []).append(name)
        lines += [f"{len(names)} {label}: {reason} (e.g. {names[0]})" for reason, names in counts.items()]
    return lines


def _finite(value: Any) -> Any:
    """Return JSON data without infinities."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
