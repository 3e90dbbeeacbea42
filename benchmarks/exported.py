"""Published checkpoints through ``python -m export`` and ``edgesr run``, against what their authors state for Set5.

``python -m benchmarks exported --weights DIR --images DIR``: the folders of ``python -m benchmarks published``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import record_environment
from benchmarks.published import EAGER_TOLERANCE, RESULTS, TOLERANCE
from benchmarks.published_stranger import Stranger

if TYPE_CHECKING:
    from benchmarks.published_networks import Network
    from benchmarks.published_pictures import Quality

FAMILIES = {"RLFN-S x2": "rlfn", "RLFN-ntire x4": "rlfn", "IMDN (8 blocks) x4": "imdn"}
"""Name of the network to the family of ``python -m export``."""


@dataclass(frozen=True)
class Row:
    """One checkpoint: the command that exported it, and Set5 through its package and in PyTorch."""

    network: str
    command: str
    said: str
    """The exporter's line about parity."""
    published_psnr: float | None
    measured: Quality
    eager: Quality

    @property
    def is_within(self) -> bool:
        """Whether the figure is the published one, where there is one, and PyTorch's."""
        stated = self.published_psnr
        return abs(self.measured.psnr - self.eager.psnr) <= EAGER_TOLERANCE and (
            stated is None or abs(self.measured.psnr - stated) <= TOLERANCE
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="with rlfn/ and imdn_baseline/")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="Set5, with HR/ and LR_bicubic/")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the table and write both files; exit with 5 when a figure is missed."""
    from benchmarks.published_networks import NETWORKS

    environment = record_environment()
    with tempfile.TemporaryDirectory(prefix="edgesr-exported-") as name:
        rows = [_measure(it, Path(name), arguments.weights.resolve(), arguments.images.resolve()) for it in NETWORKS]
    text = render(rows, f"# Exported checkpoints, {environment.date}", f"{environment.machine}; {environment.system}")
    sys.stdout.write(text)
    target = arguments.out / f"exported-{environment.date}.json"
    document = {"environment": asdict(environment), "rows": [{**asdict(it), "is_within": it.is_within} for it in rows]}
    arguments.out.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n")
    target.with_suffix(".md").write_text(text)
    if not all(row.is_within for row in rows):
        raise SystemExit(5)


def render(rows: list[Row], title: str, machine: str) -> str:
    """Return the page, Markdown."""
    head = ("network", "command", "published dB", "edgesr run, PSNR / SSIM", "PyTorch", "within tolerance")
    lines = [
        title,
        "",
        f"* Machine: {machine}",
        "",
        "Set5, luma of BT.601, borders of the scale cut off.",
    ]
    lines += ["", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        stated = "-" if row.published_psnr is None else f"{row.published_psnr:.2f}"
        ours, theirs = (f"{it.psnr:.3f} / {it.ssim:.4f}" for it in (row.measured, row.eager))
        cells = (row.network, f"`{row.command}`", stated, ours, theirs, "yes" if row.is_within else "no")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"* {row.network}: {row.said}" for row in rows)]) + "\n"


def _measure(network: Network, folder: Path, weights: Path, images: Path) -> Row:
    import contextlib
    import io

    from benchmarks.published_networks import enlarge
    from benchmarks.published_pictures import mean_quality, measure_quality, read_picture
    from export.__main__ import main as export

    family, package = FAMILIES[network.name], folder / f"{Path(network.weights).stem}.edgesr"
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = export([family, "--weights", str(weights / network.weights), "-o", str(package)])
    lines = errors.getvalue().splitlines()
    if code:
        raise SystemExit(f"benchmark: python -m export failed: {lines[-1] if lines else code}")
    target = package.with_suffix("")
    _, error = Stranger(sys.executable, folder).run(images / "LR_bicubic" / f"X{network.scale}", package, target)
    if error:
        raise SystemExit(f"benchmark: edgesr run failed: {error}")
    module = network.load(weights)
    measured, eager = [], []
    for path in sorted((images / "HR").glob("*.png")):
        truth, name = read_picture(path), f"{path.stem}x{network.scale}"
        low = read_picture(images / "LR_bicubic" / f"X{network.scale}" / f"{name}.png")
        measured.append(measure_quality(read_picture(target / f"{name}_x{network.scale}.png"), truth, network.scale))
        eager.append(measure_quality(enlarge(module, low, unit=network.unit), truth, network.scale))
    said = next((line.removeprefix("export: ") for line in lines if "equals PyTorch" in line), "")
    command = f"python -m export {family} --weights {Path(network.weights).name}"
    return Row(network.name, command, said, network.published.psnr, mean_quality(measured), mean_quality(eager))
