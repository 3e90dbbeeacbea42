"""``edgesr build`` of a latent diffusion: each part in the precision asked for, the whole proven on pictures."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.cli.build_report import accuracy, finite
from edgesr.cli.build_target import engine_file, is_asked
from edgesr.cli.build_work import Work
from edgesr.cli.output import note, result, result_json
from edgesr.cli.progress import Progress
from edgesr.cli.spinner import Spinner
from edgesr.compile.artifact import gate_record
from edgesr.compile.gate import DEFAULTS, Thresholds, Verdict
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import record_ranges
from edgesr.compile.simplify import simplify
from edgesr.compile.tensors import TensorProof
from edgesr.compile.typed import Precision
from edgesr.engines import open_backend
from edgesr.errors import AccuracyError, BackendError, BuildError, UsageError
from edgesr.model import ModelPackage, open_package, write_package
from edgesr.model.diffusion_rules import DECODER, ENCODER, UNET, UNROLLED
from edgesr.pipelines.calibrate import calibration_pictures
from edgesr.pipelines.calibrate_diffusion import DiffusionProof
from edgesr.pipelines.compiled_diffusion import load_compiled_diffusion
from edgesr.pipelines.unroll_package import FILE, part_files, unrolled, without_unrolled
from edgesr.schedule import ScheduleConfig, make_schedule

_SIDE = 64
_PART_PSNR = 45.0
"""Decibels against the largest value that a part in FP16 must reach; how much of its error is seen, pictures say."""
_OF_ONE_NETWORK = (
    "auto", "compare", "embed_io", "shapes", "min_shapes", "opt_shapes", "max_shapes", "workspace", "opt_level",
    "max_aux_streams", "locked", "portable", "dla",
)  # fmt: skip


def build_diffusion(
    package: ModelPackage, precision: Precision, arguments: argparse.Namespace, why_no_engine: str
) -> int:
    """Convert each part, compare part by part and picture by picture with FP32, write the package, build engines."""
    _check(arguments, package)
    if arguments.int8 and arguments.calib is None and not package.descriptor.golden:
        raise UsageError("INT8 needs data like that which the networks will see: give a folder with --calib")
    name = package.descriptor.name
    steps = arguments.unroll or _unrolled_steps(package)
    side = arguments.tile or package.descriptor.tile or _SIDE
    pictures, told = calibration_pictures(package, arguments.calib, count=arguments.calib_count, side=side)
    with Progress("pictures", quiet=arguments.json) as progress:
        proof = DiffusionProof(package, pictures, steps=steps, on_step=progress.show)
    said, record = [f"calibrated on {told}"], dict[str, Any]()
    files = part_files(package)
    if precision != "fp32":
        files = {file: content for file, content in files.items() if not file.endswith(".data")}
        for part in (ENCODER, UNET, DECODER):
            if part in package.descriptor.parts:
                typed, verdict, summary = _part(package, part, precision, proof, arguments)
                files[package.descriptor.parts[part].file] = typed
                record[part] = {"against_fp32": gate_record(verdict), "made": summary}
                said.append(f"{part}: {summary}; against FP32 {accuracy(verdict)}")
    suffix = ("" if precision == "fp32" else f"-{precision}") + (f"-unrolled{steps}" if arguments.unroll else "")
    output = Path(arguments.output or f"{name}{suffix or '-copy'}.edgesr")
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        candidate = _candidate(package, files, f"{name}{suffix}"[:64], Path(folder) / "candidate")
        if steps is not None:
            descriptor, made = unrolled(candidate, steps)
            files[FILE] = made.graph.bytes()
            said.append(
                f"{steps} steps in one graph of {len(made.graph.nodes)} nodes; from the numpy loop it departs by "
                f"{made.deviation:.1e} of the largest value"
            )
            candidate = open_package(write_package(Path(folder) / "whole", descriptor, files))
        verdict = _require(proof.compare(candidate), precision, arguments, f"{name} in {precision}")
        record |= {"kind": precision, "made_from": package.digest, "against_fp32": gate_record(verdict)}
        said.append(f"the pictures, against FP32: {accuracy(verdict)}")
        descriptor = candidate.descriptor if precision == "fp32" else replace(candidate.descriptor, precision=record)
        if arguments.dry_run:
            return _tell(arguments, [*said, "nothing was written, as --dry-run was given"], None, record)
        if why_no_engine:
            said.append(f"no engine was built: {why_no_engine}")
        else:
            said.append(_engines(arguments, candidate, proof, "fp16" if precision == "fp32" else precision))
        place = write_package(output, descriptor, files)
    return _tell(arguments, said, place, record)


def _check(arguments: argparse.Namespace, package: ModelPackage) -> None:
    option = next((name for name in _OF_ONE_NETWORK if getattr(arguments, name) not in (None, False)), None)
    if option is not None or arguments.io != "fp32":
        shown = (option or "io fp16").replace("_", "-")
        raise UsageError(
            f"--{shown} is for one network, and model {package.descriptor.name} has several; leave it out, or build "
            "its ONNX files with --onnx"
        )
    if engine_file(arguments) is not None:
        raise UsageError(f"-o {arguments.output}: a latent diffusion is several engines, which the cache keeps; give a "
                         "package such as NAME.edgesr")  # fmt: skip


def _unrolled_steps(package: ModelPackage) -> int | None:
    """Return the steps of a package that is unrolled already."""
    if UNROLLED not in package.descriptor.parts:
        return None
    config = ScheduleConfig.from_json(package.descriptor.schedule, source=f"model {package.descriptor.name}")
    return make_schedule(config).steps


def _part(
    package: ModelPackage, part: str, precision: Precision, proof: DiffusionProof, arguments: argparse.Namespace
) -> tuple[bytes, Verdict, str]:
    """Return one part in a precision that passed the gate on what it is fed."""
    feeds = proof.feeds[part]
    graph = Graph.read(package.part_path(part), source=f"{package.descriptor.name}: {part}")
    if not arguments.no_simplify:
        graph, _ = simplify(graph, feeds[:2])
    with Progress(f"calibration runs of {part}", quiet=arguments.json) as progress:
        ranges = record_ranges(graph, feeds, on_step=progress.show)
    if "int8" not in precision:
        arguments = argparse.Namespace(**{**vars(arguments), "min_psnr": _PART_PSNR, "max_abs": None})
    work = Work(graph, ranges, TensorProof(graph, feeds), arguments)
    # Ends can be plain mixtures of pixels, which have no layer to lower; the U-Net is what takes the time.
    choice, why = (work.single(precision), "") if part == UNET else work.or_higher(precision)
    said = "; ".join(text for text in (why, *choice.typed.notes) if text)
    return choice.typed.graph.bytes(), choice.verdict, choice.typed.summary() + (f" ({said})" if said else "")


def _candidate(package: ModelPackage, files: dict[str, Path | bytes], name: str, place: Path) -> ModelPackage:
    """Write the parts as a package that walks step by step."""
    source = without_unrolled(package).descriptor
    files.pop(FILE, None)
    parts = {part.file for part in source.parts.values()}
    kept = {file: "" for file in files if file not in parts}
    return open_package(write_package(place, replace(source, name=name, golden=None, files=kept), files))


def _require(verdict: Verdict, precision: Precision, arguments: argparse.Namespace, what: str) -> Verdict:
    """Return a verdict that passes, raise AccuracyError for another."""
    given = {"min_psnr": arguments.min_psnr, "min_ssim": arguments.min_ssim, "max_abs": arguments.max_abs}
    start: Thresholds = DEFAULTS["int8" if "int8" in precision else precision]
    thresholds = replace(start, **{name: value for name, value in given.items() if value is not None})
    failures = verdict.failures(thresholds)
    if failures:
        raise AccuracyError(
            f"{what} missed its accuracy gate on pictures: {'; '.join(failures)}; nothing was written; allow more with "
            "--min-psnr, --min-ssim and --max-abs, or keep layers out with --exclude"
        )
    return verdict


def _engines(arguments: argparse.Namespace, package: ModelPackage, proof: DiffusionProof, asked: Precision) -> str:
    """Build the engines of all parts into the cache, compare their pictures, and say how they came out."""
    try:
        with Spinner(quiet=arguments.json) as spinner:
            backend = open_backend("tensorrt")
            with load_compiled_diffusion(
                package, backend, note=spinner.note, tick=spinner.tick, tile=arguments.tile
            ) as pipeline:
                verdict = proof.compare_pipeline(pipeline)
    except (BackendError, BuildError) as error:
        if is_asked(arguments):
            raise
        return f"the engines are left out: {error}"
    _require(verdict, asked, arguments, f"the engines of {package.descriptor.name}")
    return f"its engines are in the cache; their pictures, against FP32: {accuracy(verdict)}"


def _tell(arguments: argparse.Namespace, said: list[str], place: Path | None, record: dict[str, Any]) -> int:
    if arguments.json:
        shown = {"output": None if place is None else str(place), "notes": said, **record}
        result_json(finite(shown | ({"dry_run": True} if place is None else {})))
        return 0
    if place is not None:
        result(str(place))
    for text in said:
        note(text)
    return 0
