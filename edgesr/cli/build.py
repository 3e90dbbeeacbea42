"""``edgesr build``: a network in the precision asked for, proven against FP32, as typed ONNX or as an engine."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgesr.cli.build_engine import try_engine, why_none
from edgesr.cli.output import note, result, result_json
from edgesr.cli.progress import Progress
from edgesr.cli.run import expectations
from edgesr.compile.artifact import gate_record, write_onnx, write_typed
from edgesr.compile.auto import Choice, Search
from edgesr.compile.emulate import emulated
from edgesr.compile.gate import DEFAULTS, Thresholds, Verdict, find_worst_layer, require
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import Ranges, record_ranges
from edgesr.compile.simplify import simplify
from edgesr.compile.tensors import TensorProof, tensor_feeds
from edgesr.compile.typed import Options, Precision, Typed, convert
from edgesr.compile.validate import takers
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelPackage
from edgesr.model.rules import NETWORK
from edgesr.pipelines.calibrate import PictureProof, calibration_pictures
from edgesr.pipelines.load import open_model


def execute(arguments: argparse.Namespace) -> int:
    """Convert the network, compare it with FP32, and write it."""
    precision = _precision(arguments)
    why_no_engine = why_none(arguments)
    package, reason = _package(arguments)
    graph = Graph.read(
        package.part_path(NETWORK) if package else Path(arguments.onnx), source=arguments.onnx or arguments.model
    )
    has_data = arguments.calib is not None or bool(package is not None and package.descriptor.golden)
    if arguments.int8 and not has_data:
        raise UsageError("INT8 needs data like that which the network will see: give a folder with --calib")
    proof, told = _proof(package, graph, arguments)
    graph, simplified = (graph, "") if arguments.no_simplify else simplify(graph, proof.feeds[:2])
    with Progress("calibration runs", quiet=arguments.json) as progress:
        ranges = record_ranges(graph, proof.feeds, on_step=progress.show)
    work = _Work(graph, ranges, proof, arguments)
    choice = work.automatic(with_int8=has_data) if arguments.auto else work.single(precision)
    as_run = work.compare(choice.typed, choice.typed.graph)
    record = {
        "calibration": {"data": told, "runs": ranges.runs, "sha256": ranges.digest},
        "against_fp32": gate_record(choice.verdict),
        "against_fp32_in_onnxruntime": gate_record(as_run),
    }
    versions = takers(choice.typed.graph)
    record["tensorrt"] = versions
    output = _write(arguments, package, choice.typed, record)
    engine = None if why_no_engine else try_engine(arguments, output)
    told_engine = (
        f"no engine was built: {why_no_engine or 'it failed'}" if engine is None else f"its engine is {engine}"
    )
    said = [f"{choice.typed.summary()}; runs on any CPU; {told_engine}"]
    said += [text for text in (reason, f"calibrated on {told}", simplified, *choice.typed.notes) if text]
    said.append(f"against FP32 {_accuracy(choice.verdict)}")
    if arguments.auto and not has_data:
        said.append("INT8 was not tried, as there is no data to calibrate it on (--calib)")
    if choice.typed.half is not None:
        said.append(f"in ONNX Runtime on this CPU, which rounds FP16 in its own way, {_accuracy(as_run)}")
    said += _versions(versions)
    if arguments.json:
        document = {
            "output": str(output),
            "target": "engine" if engine else "onnx",
            "notes": said,
            **choice.typed.document(),
            **record,
        }
        document["trials"] = [asdict(trial) for trial in choice.trials]
        document["sensitivity"] = [asdict(loss) for loss in choice.losses]
        result_json(_finite(document))
        return 0
    result(str(output))
    for text in (*said, *_kept(choice.typed)):
        note(text)
    return 0


class _Work:
    """One network with everything that its other forms are made of and compared with."""

    def __init__(
        self, graph: Graph, ranges: Ranges, proof: PictureProof | TensorProof, arguments: argparse.Namespace
    ) -> None:
        self._graph = graph
        self._ranges = ranges
        self._proof = proof
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
        require(
            verdict,
            thresholds,
            what=f"{Path(self._graph.source).name} in {typed.precision}",
            worst_layer=lambda: find_worst_layer(
                self._graph, emulated(typed.graph), self._proof.feed(verdict.worst[0]), among=typed.lowered()
            ),
        )
        return Choice(typed, verdict)

    def automatic(self, *, with_int8: bool) -> Choice:
        """Return the cheapest network that reaches the thresholds."""
        return self._search(self._thresholds("fp16")).cheapest(with_int8=with_int8)

    def evaluate(self, typed: Typed) -> Verdict:
        """Compare a network with FP32, with FP16 rounded as it is stored."""
        return self.compare(typed, emulated(typed.graph))

    def compare(self, typed: Typed, graph: Graph) -> Verdict:
        """Compare a network, or what imitates it, with FP32."""
        if isinstance(self._proof, TensorProof):
            return self._proof.compare(graph)
        return self._proof.compare(replace(typed, graph=graph))

    def _search(self, thresholds: Thresholds) -> Search:
        return Search(
            self._graph, self._ranges, self._proof.feeds, self._options, evaluate=self.evaluate, thresholds=thresholds
        )

    def _thresholds(self, precision: Precision) -> Thresholds:
        given = self._arguments
        start = DEFAULTS["int8" if "int8" in precision else precision]
        if isinstance(self._proof, TensorProof):
            start = replace(start, min_ssim=None)
        changes = {"min_psnr": given.min_psnr, "min_ssim": given.min_ssim, "max_abs": given.max_abs}
        return replace(start, **{name: value for name, value in changes.items() if value is not None})


def _precision(arguments: argparse.Namespace) -> Precision:
    if arguments.auto and (arguments.fp16 or arguments.int8):
        raise UsageError("--auto chooses between FP32, FP16 and INT8 itself; give it without --fp16 and --int8")
    if arguments.int8:
        return "int8-fp16" if arguments.fp16 else "int8"
    return "fp16" if arguments.fp16 else "fp32"


def _package(arguments: argparse.Namespace) -> tuple[ModelPackage | None, str]:
    """Open the model; an ONNX file that is no picture-to-picture model has no package, and the reason is said."""
    if (arguments.model is None) == (arguments.onnx is None):
        raise UsageError("name one model: a package or name as MODEL, or an ONNX file with --onnx")
    try:
        package = open_model(arguments.onnx or arguments.model, expects=expectations(arguments))
    except ModelError as error:
        if arguments.onnx is None:
            raise
        Graph.read(Path(arguments.onnx))
        return None, f"compared tensor by tensor, as it is no picture-to-picture model ({error})"
    if package.descriptor.task != "restore":
        raise ModelError(
            f"model {package.descriptor.name} has task {package.descriptor.task!r}; give its ONNX file with --onnx"
        )
    return package, ""


def _proof(
    package: ModelPackage | None, graph: Graph, arguments: argparse.Namespace
) -> tuple[PictureProof | TensorProof, str]:
    if package is None:
        feeds, told = tensor_feeds(graph, arguments.calib, arguments.calib_count)
        return TensorProof(graph, feeds), told
    pictures, told = calibration_pictures(package, arguments.calib, count=arguments.calib_count)
    with Progress("pictures", quiet=arguments.json) as progress:
        return PictureProof(package, pictures, on_step=progress.show), told


def _write(arguments: argparse.Namespace, package: ModelPackage | None, typed: Typed, record: dict[str, Any]) -> Path:
    stem = Path(arguments.onnx).stem if arguments.onnx else package.descriptor.name if package else ""
    suffix = ".onnx" if arguments.onnx else ".edgesr"
    output = Path(arguments.output or f"{stem}-{typed.precision}{suffix}")
    if package is not None:
        return write_typed(output, package, typed, record)
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"{output}: a network that is no picture-to-picture model is written as .onnx")
    return write_onnx(output, typed)


def _versions(obstacles: Mapping[str, str]) -> list[str]:
    """Say which TensorRT versions take the operators and the opset, as far as tables tell."""
    takes = [version for version, obstacle in obstacles.items() if not obstacle]
    lines = [f"operators and opset are known to TensorRT {', '.join(takes)}"] if takes else []
    return lines + [f"TensorRT {version}: {obstacle}" for version, obstacle in obstacles.items() if obstacle]


def _accuracy(verdict: Verdict) -> str:
    name, worst = verdict.worst
    if worst.psnr == math.inf:
        return f"on {len(verdict.pictures)} comparisons: no difference"
    ssim = min(difference.ssim for _, difference in verdict.pictures)
    largest = max(difference.max_abs for _, difference in verdict.pictures)
    lowest = f"on {len(verdict.pictures)} comparisons: PSNR at least {worst.psnr:.1f} dB ({name})"
    if math.isnan(ssim):
        return f"{lowest}, largest difference {largest:.2%} of the largest value"
    return f"{lowest}, SSIM at least {ssim:.5f}, largest difference {largest * 255:.3f} of 255 levels"


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
    """Return JSON data without infinities and NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
