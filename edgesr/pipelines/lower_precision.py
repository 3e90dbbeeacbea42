"""The accuracy gate of kernels that compute in less than FP32: nothing runs that was not compared."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from edgesr.compile.gate import DEFAULTS, Picture, Verdict, compare_pictures
from edgesr.compile.quality import Difference
from edgesr.device import this_machine
from edgesr.errors import AccuracyError
from edgesr.image.convert import to_float
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.package import ModelPackage
from edgesr.pipelines.calibrate import calibration_pictures
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array


def require_close(
    lower: PicturePipeline, in_fp32: Callable[[], PicturePipeline], precision: str, note: Callable[[str], None]
) -> Verdict:
    """Compare a pipeline with the same one in FP32 on the package's picture; raise AccuracyError below the gate.

    ``in_fp32`` opens that one, which is closed here. A comparison is kept in the cache and not made again for the same
    model, runtime and processor.
    """
    package = lower.package
    path = _place(package, lower.device, precision)
    verdict, told = _read(path)
    if verdict is None:
        pictures, told = calibration_pictures(package, None)
        with in_fp32() as reference:
            expected = [_run(reference, picture) for picture in pictures]
        verdict = compare_pictures(lambda picture: _run(lower, picture), pictures, expected)
        _write(path, verdict, told)
    failures = verdict.failures(DEFAULTS[precision])
    if failures:
        raise AccuracyError(
            f"model {package.descriptor.name} in {precision} missed its accuracy gate against FP32 on {told}: "
            f"{'; '.join(failures)}; run it in fp32"
        )
    note(f"{precision} is at least {verdict.worst[1].psnr:.1f} dB from FP32 on {told}")
    return verdict


def _run(pipeline: PicturePipeline, picture: Picture) -> Array:
    return pipeline(to_float(picture.pixels), **picture.settings)


def _place(package: ModelPackage, device: str, precision: str) -> Path:
    try:
        version = importlib.metadata.version(device.partition(":")[0])
    except importlib.metadata.PackageNotFoundError:
        version = ""
    facts = [package.digest, device, precision, version, this_machine().cpu]
    return cache_folder() / "precision" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> tuple[Verdict | None, str]:
    """Return what was compared before; nothing where the file is absent or damaged."""
    try:
        document = json.loads(path.read_text("utf-8"))
        pictures = tuple((name, Difference(**difference)) for name, difference in document["pictures"])
        return Verdict(pictures) if pictures else None, str(document["told"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, ""


def _write(path: Path, verdict: Verdict, told: str) -> None:
    document = {"told": told, "pictures": [(name, asdict(difference)) for name, difference in verdict.pictures]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(json.dumps(document, indent=1).encode() + b"\n")
    except OSError:
        return
