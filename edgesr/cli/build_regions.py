"""``edgesr build`` of a detector of two networks, such as Faster R-CNN.

Each network is typed by what it is fed in FP32, the first by pictures, the second by the features of the regions that
the first one found; then both together are judged by their boxes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgesr.cli.build_engine import BuiltEngine
from edgesr.cli.build_report import finite
from edgesr.cli.build_stage import Stage, require_lowered
from edgesr.cli.build_target import engine_file
from edgesr.cli.output import note, result, result_json
from edgesr.cli.progress import Progress
from edgesr.compile.artifact import check_place, write_parts
from edgesr.compile.engine_cache import EngineCache
from edgesr.compile.gate import LABEL_DEFAULTS, Agreement, Picture
from edgesr.compile.typed import Precision
from edgesr.errors import AccuracyError, UsageError
from edgesr.model import ModelPackage
from edgesr.model.label_rules import NETWORK, REGIONS
from edgesr.pipelines.agreement import agreement
from edgesr.pipelines.calibrate import calibration_pictures
from edgesr.pipelines.calibrate_labels import LabelProof
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.load import load

_OF_ONE_NETWORK = (
    "auto", "embed_io", "compare", "locked", "tile", "shapes", "min_shapes", "opt_shapes", "max_shapes", "dla",
)  # fmt: skip


def build_regions(
    package: ModelPackage, precision: Precision, arguments: argparse.Namespace, why_no_engine: str
) -> int:
    """Convert both networks, compare each alone and then the boxes with FP32, and write one package."""
    _refuse(package, arguments)
    name = package.descriptor.name
    suffix = "-fp32" if precision == "fp32" else f"-{precision}"
    output = Path(arguments.output or f"{name}{suffix}.edgesr")
    check_place(output, package)
    pictures, told = calibration_pictures(package, arguments.calib, count=arguments.calib_count, side=None)
    built = region_stages(package, pictures, arguments, precision=precision, told=told)
    require_lowered(built, precision, name)
    typed = {stage.part: stage.choice.typed for stage in built}
    expected = built[0].proof.expected
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        candidate = write_parts(Path(folder) / "candidate", package, typed, precision, {})
        found = _labelled(candidate, pictures, "cpu")
        agreed = agreement([picture.name for picture in pictures], found, expected)
        _require(agreed, precision, arguments, f"{name} in {precision}")
        engines = [] if why_no_engine or arguments.dry_run else [stage.engine() for stage in built]
        by_engines = None
        if engines and all(engines):
            found = _labelled(candidate, pictures, "tensorrt")
            by_engines = agreement([picture.name for picture in pictures], found, expected)
            try:
                _require(by_engines, precision, arguments, f"the engines of {name} in {precision}")
            except AccuracyError:
                for engine in engines:
                    if engine is not None:
                        EngineCache().forget(engine.path)
                raise
    record = {
        "against_fp32": {"pictures": len(pictures), **({} if agreed is None else {"agreement": asdict(agreed)})},
        **{stage.name: stage.record for stage in built},
    }
    if not arguments.dry_run:
        write_parts(output, package, typed, precision, record)
    _tell(built, engines, agreed, by_engines, arguments, output=output, why_no_engine=why_no_engine)
    return 0


def region_stages(
    package: ModelPackage,
    pictures: Sequence[Picture],
    arguments: argparse.Namespace,
    *,
    precision: Precision,
    told: str,
) -> list[RegionStage]:
    """Convert both networks of a detector, each proven with the other one in FP32."""
    return [
        RegionStage(part, package, pictures, arguments, precision=precision, told=told) for part in (NETWORK, REGIONS)
    ]


class RegionStage(Stage):
    """One of the two networks."""

    def __init__(
        self,
        part: str,
        package: ModelPackage,
        pictures: Sequence[Picture],
        arguments: argparse.Namespace,
        *,
        precision: Precision,
        told: str,
    ) -> None:
        with Progress(f"pictures for {part}", quiet=arguments.json) as progress:
            self.proof = LabelProof(package, pictures, part=part, on_step=progress.show)
        if part == REGIONS:
            told = f"the regions that FP32 finds in {told}"
        super().__init__(
            part, package, self.proof, arguments, precision=precision, told=told, part=part, or_higher=True
        )


def _labelled(place: Path, pictures: Sequence[Picture], device: str) -> list[LabelResult]:
    with load(place, device) as pipeline:
        found = [pipeline(picture.pixels) for picture in pictures]
    return [it for it in found if isinstance(it, LabelResult)]


def _refuse(package: ModelPackage, arguments: argparse.Namespace) -> None:
    name = package.descriptor.name
    if engine_file(arguments) is not None:
        raise UsageError(f"model {name} has two networks; --target engine builds both engines for edgesr run")
    option = next((it for it in _OF_ONE_NETWORK if getattr(arguments, it) not in (None, False)), None)
    if option is not None or arguments.io != "fp32":
        shown = (option or "io fp16").replace("_", "-")
        raise UsageError(
            f"--{shown} is for one network and model {name} has two, {NETWORK} and {REGIONS}; leave it out, or build "
            "the ONNX file of one with --onnx"
        )
    if arguments.min_ssim is not None:
        raise UsageError("--min-ssim is for networks that make pictures; leave it out")
    if arguments.int8 and arguments.calib is None and not package.descriptor.golden:
        raise UsageError("INT8 needs data like that which the networks will see: give a folder with --calib")


def _require(agreed: Agreement | None, precision: Precision, arguments: argparse.Namespace, what: str) -> None:
    limits = LABEL_DEFAULTS["int8" if "int8" in precision else precision]
    if arguments.min_agreement is not None:
        limits = replace(limits, min_agreement=arguments.min_agreement)
    if agreed is not None and limits.min_agreement is not None and agreed.value < limits.min_agreement:
        raise AccuracyError(
            f"{what} missed its accuracy gate: the {agreed.told()} of both networks together is below "
            f"{limits.min_agreement:g}; nothing was written; keep layers out with --exclude, or allow more with "
            "--min-agreement"
        )


def _tell(
    built: Sequence[Stage],
    engines: Sequence[BuiltEngine | None],
    agreed: Agreement | None,
    by_engines: Agreement | None,
    arguments: argparse.Namespace,
    *,
    output: Path,
    why_no_engine: str,
) -> None:
    if arguments.json:
        document: dict[str, Any] = {stage.name: stage.document() for stage in built}
        document["agreement"] = None if agreed is None else asdict(agreed)
        document["engines"] = [engine.document() if engine else None for engine in engines]
        document["agreement_of_engines"] = None if by_engines is None else asdict(by_engines)
        said = {"dry_run": True} if arguments.dry_run else {"output": str(output)}
        result_json(finite({**said, **document}))
        return
    result(f"would build: {output}" if arguments.dry_run else str(output))
    lines = [line for stage in built for line in stage.lines()]
    lines.append(
        f"both networks together, against FP32: {agreed.told()}"
        if agreed
        else "FP32 finds nothing in these pictures, so that no agreement was measured; give others"
    )
    if by_engines is not None:
        lines.append(f"both engines together, against FP32: {by_engines.told()}")
    found = [str(engine.path) for engine in engines if engine]
    reason = why_no_engine or ("nothing was written, as --dry-run was given" if arguments.dry_run else "it failed")
    lines.append(f"its engines are {' and '.join(found)}" if found else f"no engine was built: {reason}")
    for text in lines:
        note(text)
