"""Published quality of third-party networks, and the forms in which strangers export them, through ``edgesr run``.

``python -m benchmarks published --weights DIR --images DIR``: the weights as their authors publish them, and Set5,
high resolution in ``HR`` and MATLAB's bicubic in ``LR_bicubic/X2`` and ``X4``. Needs ``edgesr[export]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environment import Environment, record_environment
from benchmarks.published_stranger import Stranger

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from benchmarks.published_networks import Network
    from benchmarks.published_pictures import Quality
    from benchmarks.published_variants import Variant

RESULTS = Path(__file__).resolve().parent / "results"
TOLERANCE = 0.05
"""Decibels by which a figure may differ from the published one."""
EAGER_TOLERANCE = 0.005
"""Decibels by which a figure may differ from PyTorch's."""
VARIANT_PICTURE = "woman"


@dataclass(frozen=True)
class Row:
    """One network: what is published, what `edgesr run` and PyTorch give, and what edgesr inferred from the file."""

    network: str
    parameters: int
    published_psnr: float | None
    published_ssim: float | None
    published: str
    source: str
    measured: Quality
    eager: Quality
    pictures: dict[str, Quality]
    largest_difference: int
    """Grey levels between the pictures of `edgesr run` and PyTorch."""
    inferred: dict[str, Any]
    is_inferred_right: bool


@dataclass(frozen=True)
class VariantRow:
    """One form of a network, on one picture; errors are what the user reads."""

    network: str
    variant: str
    flags: list[str]
    error: str
    said: str
    """What edgesr said about the range, its own words."""
    largest_difference: int | None
    """Grey levels from ONNX Runtime alone; of the dynamic form where the variant's size is fixed."""
    psnr: float | None
    psnr_directly: float | None


@dataclass(frozen=True)
class Results:
    """Everything that one run measured."""

    environment: Environment
    runtime: list[str]
    """Python and ONNX Runtime that ran ``edgesr``."""
    rows: list[Row]
    variants: list[VariantRow]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="with rlfn/ and imdn_baseline/")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="Set5, with HR/ and LR_bicubic/")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")
    parser.add_argument(
        "--python", default=sys.executable, metavar="FILE", help="interpreter that runs edgesr (default: this one)"
    )
    parser.add_argument("--no-variants", action="store_true", help="published figures alone")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the tables and write both files."""
    environment = record_environment()
    with tempfile.TemporaryDirectory(prefix="edgesr-published-") as name:
        folder = Path(name)
        stranger = Stranger(arguments.python, folder)
        results = Results(
            environment,
            stranger.versions(),
            measure_published(stranger, folder, arguments.weights, arguments.images.resolve()),
            []
            if arguments.no_variants
            else measure_variants(stranger, folder, arguments.weights, arguments.images.resolve()),
        )
    from benchmarks.published_report import render

    text = render(results)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / f"published-{environment.date}.json"
    target.write_text(json.dumps(asdict(results), indent=1) + "\n")
    target.with_suffix(".md").write_text(text)


def measure_published(stranger: Stranger, folder: Path, weights: Path, images: Path) -> list[Row]:
    """Run every network over Set5 with ``edgesr run`` and with PyTorch."""
    from benchmarks.published_networks import NETWORKS, export

    rows = []
    for network in NETWORKS:
        _say(f"{network.name} ...")
        module = network.load(weights)
        model = folder / f"{network.name.split()[0].lower()}.onnx"
        export(module, model, unit=network.unit)
        rows.append(_measure_network(stranger, network, module, model, images))
    return rows


def _measure_network(stranger: Stranger, network: Network, module: nn.Module, model: Path, images: Path) -> Row:
    import numpy as np

    from benchmarks.published_networks import enlarge
    from benchmarks.published_pictures import mean_quality, measure_quality, read_picture

    scale = network.scale
    target = model.with_suffix("")
    _, error = stranger.run(images / "LR_bicubic" / f"X{scale}", model, target)
    if error:
        raise SystemExit(f"benchmark: edgesr run failed: {error}")
    pictures, eager, largest = {}, [], 0
    for path in sorted((images / "HR").glob("*.png")):
        truth = read_picture(path)
        ours = read_picture(target / f"{path.stem}x{scale}_x{scale}.png")
        theirs = enlarge(
            module, read_picture(images / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"), unit=network.unit
        )
        pictures[path.stem] = measure_quality(ours, truth, scale)
        eager.append(measure_quality(theirs, truth, scale))
        largest = max(largest, int(np.abs(ours.astype(int) - theirs.astype(int)).max()))
    inferred = stranger.inspect(model)
    right = inferred["range"] == inferred["output_range"] == [0, network.unit] and inferred["scale"] == scale
    published = network.published
    return Row(
        network.name,
        sum(parameter.numel() for parameter in module.parameters()),
        published.psnr,
        published.ssim,
        published.statement,
        published.source,
        mean_quality(list(pictures.values())),
        mean_quality(eager),
        pictures,
        largest,
        inferred,
        right and inferred["layout"] == "NCHW",
    )


def measure_variants(stranger: Stranger, folder: Path, weights: Path, images: Path) -> list[VariantRow]:
    """Run every form of the x4 networks and of a seeded luma network on one picture."""
    from benchmarks.published_networks import NETWORKS
    from benchmarks.published_variants import VARIANTS, SeededNetwork

    rows = []
    for network, needs_all in ((NETWORKS[1], True), (NETWORKS[2], False)):
        # RLFN resizes to a size, which opset 9 cannot.
        chosen = [v for v in VARIANTS if (v.opset >= 11 if needs_all else v.opset == 9 or v.values == (-1, 1))]
        chosen = chosen if needs_all else [VARIANTS[0], *chosen]
        module = network.load(weights)
        rows += _measure_forms(stranger, folder, module, chosen, images, name=network.name, unit=network.unit)
    luma = [v for v in VARIANTS if v.name in ("NCHW float32 in [0, 1]", "NHWC", "fixed 64 x 64")]
    rows += _measure_forms(
        stranger, folder, SeededNetwork(1, 4), luma, images, name="seeded luma x4", unit=1, channels=1
    )
    return rows


def _measure_forms(
    stranger: Stranger,
    folder: Path,
    module: nn.Module,
    variants: list[Variant],
    images: Path,
    *,
    name: str,
    unit: float,
    channels: int = 3,
) -> list[VariantRow]:
    from benchmarks.published_pictures import read_picture, to_grey, write_grey
    from benchmarks.published_variants import run_directly, write_variant

    source = images / "LR_bicubic" / "X4" / f"{VARIANT_PICTURE}x4.png"
    truth, low = read_picture(images / "HR" / f"{VARIANT_PICTURE}.png"), read_picture(source)
    if channels == 1:
        truth, low, source = to_grey(truth), to_grey(low), folder / "grey.png"
        write_grey(source, low)
    rows, reference = [], None
    for variant in variants:
        _say(f"{name}: {variant.name} ...")
        model, target = folder / "theirs.onnx", folder / "out.png"
        write_variant(module, model, variant, unit=unit, channels=channels)
        direct = run_directly(model, variant, low) if variant.size is None else reference
        reference = direct if reference is None else reference
        target.unlink(missing_ok=True)
        text, error = stranger.run(source, model, target, variant.flags)
        said = next((line for line in text.splitlines() if "value range" in line), "").removeprefix("edgesr: ")
        row = VariantRow(name, variant.name, list(variant.flags), error, said, None, None, None)
        rows.append(row if error else _compared(row, read_picture(target, channels), direct, truth))
    return rows


def _compared(row: VariantRow, ours: np.ndarray, direct: np.ndarray, truth: np.ndarray) -> VariantRow:
    import numpy as np

    from benchmarks.published_pictures import measure_quality

    return replace(
        row,
        largest_difference=int(np.abs(ours.astype(int) - direct.astype(int)).max()),
        psnr=measure_quality(ours, truth, 4).psnr,
        psnr_directly=measure_quality(direct, truth, 4).psnr,
    )


def _say(text: str) -> None:
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="python -m benchmarks.published")
    add_arguments(_parser)
    run(_parser.parse_args())
