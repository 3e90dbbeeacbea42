"""``edgesr build`` of a chain: both networks in the precision asked for, each proven alone and then both together."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.cli.build_engine import BuiltEngine, EngineBuild, Proof
from edgesr.cli.build_report import accuracy, finite, kept, versions
from edgesr.cli.build_target import engine_file, is_asked
from edgesr.cli.build_work import Work
from edgesr.cli.output import note, result, result_json
from edgesr.cli.progress import Progress
from edgesr.compile.artifact import gate_record, write_typed
from edgesr.compile.auto import Choice
from edgesr.compile.gate import LABEL_DEFAULTS, Agreement, Picture, Thresholds
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import record_ranges
from edgesr.compile.simplify import simplify
from edgesr.compile.typed import Precision
from edgesr.compile.validate import takers
from edgesr.errors import AccuracyError, BackendError, BuildError, UsageError
from edgesr.model import ModelPackage, open_package
from edgesr.model.chain import RESTORE, TASK, stages, write_chain
from edgesr.model.rules import NETWORK
from edgesr.pipelines.agreement import agreement
from edgesr.pipelines.calibrate import PictureProof, calibration_pictures
from edgesr.pipelines.calibrate_labels import LabelProof
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.load import load

_RESTORE_GATE = ("min_psnr", "min_ssim", "max_abs")


def build_chain(package: ModelPackage, precision: Precision, arguments: argparse.Namespace, why_no_engine: str) -> int:
    """Convert both networks of a chain, compare the chain with FP32, and write it as one package."""
    _refuse(package, arguments)
    output = Path(arguments.output or f"{package.descriptor.name}-{precision}.edgesr")
    restore, task = stages(package)
    pictures, told = calibration_pictures(package, arguments.calib, count=arguments.calib_count, side=None)
    expected = _labelled(package.path, pictures)
    restored = [Picture(it.name, found.picture) for it, found in zip(pictures, expected, strict=True)]
    cut, _ = calibration_pictures(restore, arguments.calib, count=arguments.calib_count)
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        built = []
        for stage, inner, proof in (
            (RESTORE, restore, PictureProof(restore, cut)),
            (TASK, task, LabelProof(task, restored)),
        ):
            given = _stage_arguments(arguments, is_task=stage == TASK)
            built.append(_Stage(stage, inner, proof, given, precision=precision, told=told))
            built[-1].write(Path(folder))
        names = [picture.name for picture in pictures]
        typed = [open_package(stage.place) for stage in built]
        candidate = write_chain(
            Path(folder) / "chain",
            *typed,
            name=f"{package.descriptor.name}-{precision}"[:64],
            version=package.descriptor.version,
        )
        agreed = agreement(names, _labelled(candidate.path, pictures), expected)
        _require(agreed, precision, arguments, package.descriptor.name)
        engines = [] if why_no_engine else [stage.engine() for stage in built]
        if not arguments.dry_run:
            descriptor = candidate.descriptor
            write_chain(output, *typed, name=descriptor.name, version=descriptor.version)
    _tell(built, engines, agreed, arguments, output=output, why_no_engine=why_no_engine)
    return 0


class _Stage:
    """One network of the chain in its new precision."""

    def __init__(
        self,
        name: str,
        package: ModelPackage,
        proof: Proof,
        arguments: argparse.Namespace,
        *,
        precision: Precision,
        told: str,
    ) -> None:
        self.name = name
        self.place = Path()
        self._package = package
        self._proof = proof
        self._arguments = arguments
        onnx = package.part_path(NETWORK)
        graph = Graph.read(onnx, source=package.descriptor.name)
        simplified = ""
        if not arguments.no_simplify:
            graph, simplified = simplify(graph, proof.feeds[:2])
        with Progress(f"calibration runs of {name}", quiet=arguments.json) as progress:
            ranges = record_ranges(graph, proof.feeds, on_step=progress.show)
        self._work = Work(graph, ranges, proof, arguments)
        self.choice: Choice = self._work.single(precision)
        typed = self.choice.typed
        self.record: dict[str, Any] = {
            "calibration": {"data": told, "runs": ranges.runs, "sha256": ranges.digest},
            "against_fp32": gate_record(self.choice.verdict),
            "tensorrt": takers(typed.graph),
        }
        self.said = [text for text in (simplified, *typed.notes) if text]

    def write(self, folder: Path) -> None:
        """Write the package of this stage."""
        self.place = write_typed(folder / self.name, self._package, self.choice.typed, self.record)

    def engine(self) -> BuiltEngine | None:
        """Build the engine into the cache; None where nobody asked for one and none can be built."""
        typed = self.choice.typed
        try:
            engine = EngineBuild(self._arguments, self._package, self._package.part_path(NETWORK))
            with closing(engine):
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
    built: list[_Stage],
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
