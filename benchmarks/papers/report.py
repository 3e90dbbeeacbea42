"""The papers' tables as Markdown: what is published in one group of columns, what was measured here in another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks.page import head, preliminary, table
from benchmarks.papers.published import NOTES, PARAMETERS, UNKNOWN, XRAY, XRAY_SOURCE, PublishedQuality
from benchmarks.timing import summarize

if TYPE_CHECKING:
    from benchmarks.papers.architectures import Row
    from benchmarks.papers.command import Results
    from benchmarks.papers.quality import Measured

RUNTIMES = ("PyTorch eager", "ONNX Runtime", "OpenVINO fp32", "edgesr auto")
SEPARATOR = "&nbsp;"
"""An empty column between what is published and what was measured."""


def render(results: Results) -> str:
    """Lay both tables out."""
    environment = results.environment
    facts = [
        f"{results.threads} thread(s); load per core before {environment.load}, after {results.load_after}",
        *preliminary(environment),
    ]
    parts = [head("The papers' tables", environment, *facts), _xray(results), _architectures(results)]
    parts += [f"* {name}: left out: {reason}" for name, reason in results.left_out.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _xray(results: Results) -> str:
    header = ["data", "method", "**published:** PSNR dB", "SSIM", "LPIPS", "s", SEPARATOR]
    header += ["**here:** PSNR dB", "SSIM", "LPIPS", "s, median (quartiles)"]
    rows = [[one.data, one.method, *_stated(one), "", *["-"] * 4] for one in XRAY]
    rows += [["the pictures given", one.method, *["-"] * 4, "", *_found(one)] for one in results.quality]
    pictures = results.pictures or "no pictures were given (--images)"
    told = (
        f"X-rays made four times larger, 64 x 64 to 256 x 256. Published: {XRAY_SOURCE}; times on an RTX 4090. Here: "
        f"{pictures}, both sizes made of the files by OpenCV's cubic without antialiasing, as the paper does; border "
        "of 4 pixels left out, computed in floating point; times on this CPU by ONNX Runtime, from pixels to pixels. A "
        "dash: not published, or not measured."
    )
    return "\n\n".join(["## Latency and quality of the X-ray paper", told, table(header, rows), _listed(NOTES)])


def _stated(one: PublishedQuality) -> list[str]:
    stated = [(one.psnr, 2), (one.ssim, 4), (one.lpips, 4)]
    cells = [UNKNOWN if value is None else f"{value:.{digits}f}" for value, digits in stated]
    # An enlargement without a network was not timed.
    return [*cells, f"{one.seconds:.2f}" if one.seconds else "-" if one.method == "bicubic" else UNKNOWN]


def _found(one: Measured) -> list[str]:
    cells = [_cell(one.figures.get(name), digits) for name, digits in (("psnr", 2), ("ssim", 4), ("lpips", 4))]
    return [*cells, summarize(one.seconds).text(1.0, 3) if one.seconds else "-"]


def _architectures(results: Results) -> str:
    if not results.rows:
        return ""
    header = ["paper", "network", "**published:** parameters", SEPARATOR, "**here:** parameters", "input"]
    header += ["G multiply-adds", "ONNX MB", *(f"{name} ms" for name in RUNTIMES)]
    rows = [_architecture(row) for row in results.rows]
    told = (
        "The networks at the sizes of the papers' own tables, with seeded weights. Multiply-adds are those of "
        "convolutions and matrix products, counted from the ONNX file; times are medians (quartiles) of one run, all "
        "runtimes in turn in one process. AutoencoderKL is the autoencoder that the X-ray paper takes from diffusers, "
        "from 256 x 256 pixels to 4 x 32 x 32 latents and back; each of its halves is a line."
    )
    absent = sorted({f"{name}: {why}" for row in results.rows for name, why in row.absent.items() if name in RUNTIMES})
    parts = ["## Architectures", told, table(header, rows)]
    return "\n\n".join([*parts, *([_listed(absent)] if absent else [])])


def _architecture(row: Row) -> list[str]:
    stated = f"{PARAMETERS[row.network]:,}" if row.network in PARAMETERS else UNKNOWN
    times = [summarize(row.samples[n]).text(1e3, 1) if n in row.samples else "-" for n in RUNTIMES]
    here = [f"{row.parameters:,}", row.input, f"{row.products / 1e9:.2f}", f"{row.bytes / 1e6:.1f}", *times]
    return [row.paper, row.network, stated, "", *here]


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)
