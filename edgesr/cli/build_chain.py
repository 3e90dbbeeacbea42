"""``edgesr build`` of a chain: both networks in the precision asked for, each proven alone and then both together."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.cli.build_engine import BuiltEngine
from edgesr.cli.build_regions import region_stages
from edgesr.cli.build_report import finite
from edgesr.cli.build_stage import Stage, require_lowered
from edgesr.cli.build_target import engine_file
from edgesr.cli.output import note, result, result_json
from edgesr.compile.artifact import write_parts
from edgesr.compile.gate import LABEL_DEFAULTS, Agreement, Picture, Thresholds
from edgesr.compile.typed import Precision
from edgesr.errors import AccuracyError, UsageError
from edgesr.model import ModelPackage, open_package
from edgesr.model.chain import RESTORE, TASK, stages, write_chain
from edgesr.pipelines.agreement import agreement
from edgesr.pipelines.calibrate import PictureProof, calibration_pictures
from edgesr.pipelines.calibrate_labels import LabelProof
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.load import load

_SIDE = 128
"""Pictures are cut to their middle of this many pixels, so that large ones do not take hours."""
_RESTORE_GATE = ("min_psnr", "min_ssim", "max_abs")


def build_chain(package: ModelPackage, precision: Precision, arguments: argparse.Namespace, why_no_engine: str) -> int:
    """Convert both networks of a chain, compare the chain with FP32, and write it as one package."""
    _refuse(package, arguments)
    output = Path(arguments.output or f"{package.descriptor.name}-{precision}.edgesr")
    restore, task = stages(package)
    pictures, told = _pictures(restore, arguments)
    expected = _labelled(package.path, pictures)
    restored = [Picture(it.name, found.picture) for it, found in zip(pictures, expected, strict=True)]
    cut, _ = calibration_pictures(restore, arguments.calib, count=arguments.calib_count)
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        asked = {name: _stage_arguments(arguments, is_task=name == TASK) for name in (RESTORE, TASK)}
        first = Stage(RESTORE, restore, PictureProof(restore, cut), asked[RESTORE], precision=precision, told=told)
        places = [first.write(Path(folder) / RESTORE)]
        built = [first]
        if task.descriptor.prediction.proposals is not None:
            built += region_stages(task, restored, asked[TASK], precision=precision, told=told)
            parts = {stage.part: stage.choice.typed for stage in built[1:]}
            places.append(write_parts(Path(folder) / TASK, task, parts, precision, {}))
        else:
            built.append(Stage(TASK, task, LabelProof(task, restored), asked[TASK], precision=precision, told=told))
            places.append(built[1].write(Path(folder) / TASK))
        require_lowered(built, precision, package.descriptor.name)
        names = [picture.name for picture in pictures]
        typed = [open_package(place) for place in places]
        candidate = write_chain(
            Path(folder) / "chain",
            *typed,
            name=f"{package.descriptor.name}-{precision}"[:64],
            version=package.descriptor.version,
        )
        agreed = agreement(names, _labelled(candidate.path, pictures), expected)
        _require(agreed, precision, arguments, package.descriptor.name)
        engines = [] if why_no_engine or arguments.dry_run else [stage.engine() for stage in built]
        if not arguments.dry_run:
            descriptor = candidate.descriptor
            write_chain(output, *typed, name=descriptor.name, version=descriptor.version)
    _tell(built, engines, agreed, arguments, output=output, why_no_engine=why_no_engine)
    return 0


def _pictures(restore: ModelPackage, arguments: argparse.Namespace) -> tuple[list[Picture], str]:
    """Return what goes through the whole chain: tiles where they have one size, else the middles of the pictures."""
    pictures, told = calibration_pictures(restore, arguments.calib, count=arguments.calib_count, side=_SIDE)
    if restore.descriptor.size.fixed is None:
        told = f"the middle {_SIDE} x {_SIDE} pixels of {told}"
    return [picture for picture in pictures if not picture.settings], told


def _labelled(chain: Path, pictures: Sequence[Picture]) -> list[LabelResult]:
    with load(chain, "cpu") as pipeline:
        found = [pipeline(picture.pixels) for picture in pictures]
    return [it for it in found if isinstance(it, LabelResult)]


def _refuse(package: ModelPackage, arguments: argparse.Namespace) -> None:
    name = package.descriptor.name
    if engine_file(arguments) is not None:
        raise UsageError(f"model {name} is a chain of two networks; --target engine builds both engines for edgesr run")
    for option in (
        "auto",
        "embed_io",
        "compare",
        "locked",
        "tile",
        "shapes",
        "min_shapes",
        "opt_shapes",
        "max_shapes",
        "dla",
    ):
        if getattr(arguments, option) not in (None, False):
            raise UsageError(
                f"--{option.replace('_', '-')} looks at one network and model {name} is a chain of two; build its two "
                "models alone and join them with edgesr pack"
            )
    if stages(package)[0].descriptor.task != "restore":
        raise UsageError(f"the first model of {name} is a latent diffusion; build it alone and pack the chain again")
    if arguments.int8 and arguments.calib is None:
        raise UsageError("INT8 needs data like that which the network will see: give a folder with --calib")


def _stage_arguments(arguments: argparse.Namespace, *, is_task: bool) -> argparse.Namespace:
    """Return the options for one stage: the limits on pictures are the restoration's, the agreement is the task's."""
    foreign = _RESTORE_GATE if is_task else ("min_agreement",)
    return argparse.Namespace(**{**vars(arguments), **dict.fromkeys(foreign)})


def _require(agreed: Agreement | None, precision: Precision, arguments: argparse.Namespace, name: str) -> None:
    limits: Thresholds = LABEL_DEFAULTS["int8" if "int8" in precision else precision]
    if arguments.min_agreement is not None:
        limits = replace(limits, min_agreement=arguments.min_agreement)
    if agreed is not None and limits.min_agreement is not None and agreed.value < limits.min_agreement:
        raise AccuracyError(
            f"{name} in {precision}: {agreed.told()} of the whole chain is below {limits.min_agreement:g}; nothing was "
            "written; allow more with --min-agreement"
        )


def _tell(
    built: list[Stage],
    engines: list[BuiltEngine | None],
    agreed: Agreement | None,
    arguments: argparse.Namespace,
    *,
    output: Path,
    why_no_engine: str,
) -> None:
    whole = f"the whole chain against FP32: {agreed.told()}" if agreed else "FP32 finds nothing in these pictures"
    if arguments.json:
        document: dict[str, Any] = {stage.name: stage.document() for stage in built}
        document["agreement"] = None if agreed is None else vars(agreed)
        document["engines"] = [engine.document() if engine else None for engine in engines]
        said = {"dry_run": True} if arguments.dry_run else {"output": str(output)}
        result_json(finite({**said, **document}))
        return
    result(f"would build: {output}" if arguments.dry_run else str(output))
    found = [engine for engine in engines if engine]
    places = f"its engines are {' and '.join(str(it.path) for it in found)}" if found else why_no_engine
    for text in (*(line for stage in built for line in stage.lines()), whole, places or "no engine was built"):
        note(text)
