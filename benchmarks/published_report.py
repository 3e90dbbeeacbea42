"""The report of the benchmark of published figures as Markdown, which is also what the terminal shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from benchmarks.published import EAGER_TOLERANCE, TOLERANCE, VARIANT_PICTURE

if TYPE_CHECKING:
    from benchmarks.published import Results, Row, VariantRow


def render(results: Results) -> str:
    """Lay all results out in tables, each with its protocol above it."""
    environment = results.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    python, runtime = results.runtime
    lines = [
        f"# Third-party networks, {environment.date}",
        "",
        f"* Machine: {environment.machine}; {environment.system}",
        f"* Versions: {versions}; commit {environment.commit}",
        f"* `edgesr run` with Python {python} and ONNX Runtime {runtime}",
        "",
        *_published(results.rows),
        "",
        *_inferred(results.rows),
    ]
    if results.variants:
        lines += ["", *_variants(results.variants)]
    return "\n".join(lines) + "\n"


def _published(rows: list[Row]) -> list[str]:
    table = [
        [
            row.network,
            f"{row.parameters:,}",
            row.published,
            f"{row.measured.psnr:.3f} / {row.measured.ssim:.4f}",
            "-" if row.published_psnr is None else f"{row.measured.psnr - row.published_psnr:+.3f}",
            f"{row.eager.psnr:.3f} / {row.eager.ssim:.4f}",
            f"{row.measured.psnr - row.eager.psnr:+.4f}",
            str(row.largest_difference),
            _verdict(row),
        ]
        for row in rows
    ]
    header = [
        "network",
        "parameters",
        "published",
        "edgesr PSNR / SSIM",
        "to published dB",
        "PyTorch PSNR / SSIM",
        "to PyTorch dB",
        "largest difference to PyTorch, grey levels",
        "within tolerance",
    ]
    sources = [f"* {row.network}: {row.source}" for row in rows]
    return [
        "## Published figures",
        "",
        "Set5, MATLAB's bicubic pictures enlarged by `edgesr run FOLDER -m theirs.onnx -o OUT`, no further options; "
        "8-bit RGB out, luma of BT.601 (MATLAB's rgb2ycbcr) in float64, as many border pixels cut off as the scale, "
        f"averaged over the five pictures. Tolerances: {TOLERANCE} dB to the published figure; {EAGER_TOLERANCE} dB to "
        "PyTorch eager, which alone counts where nothing is published for Set5.",
        "",
        *_table(header, table),
        "",
        "Sources:",
        "",
        *sources,
    ]


def _verdict(row: Row) -> str:
    good = abs(row.measured.psnr - row.eager.psnr) <= EAGER_TOLERANCE
    if row.published_psnr is not None:
        good = good and abs(row.measured.psnr - row.published_psnr) <= TOLERANCE
    return "yes" if good else "**no**"


def _inferred(rows: list[Row]) -> list[str]:
    table = [[row.network, *_found(row.inferred), "yes" if row.is_inferred_right else "**no**"] for row in rows]
    return [
        "## What edgesr inferred from the files",
        "",
        "The receptive field is measured within 20 seconds and unknown after that, which a busy machine needs.",
        "",
        *_table(["network", "layout", "range", "output", "scale", "size", "receptive field", "right"], table),
    ]


def _variants(rows: list[VariantRow]) -> list[str]:
    table = [
        [
            row.network,
            row.variant,
            _short(row.said),
            "-" if row.largest_difference is None else str(row.largest_difference),
            "-" if row.psnr is None or row.psnr_directly is None else f"{row.psnr - row.psnr_directly:+.3f}",
            _outcome(row),
        ]
        for row in rows
    ]
    return [
        "## Forms in which strangers export",
        "",
        f"`edgesr run {VARIANT_PICTURE}x4.png -m theirs.onnx` against ONNX Runtime alone, fed by someone who knows "
        "what the network takes. Grey levels are of 255, dB of the PSNR against the truth. Networks of fixed size are "
        "compared with their dynamic form: they see mirrored pixels where that sees its own zero padding.",
        "",
        *_table(["network", "form", "range found: in, out", "largest difference, grey levels", "dB", "outcome"], table),
    ]


def _outcome(row: VariantRow) -> str:
    if row.error:
        return f"**{row.error}**"
    if row.psnr is None or row.psnr_directly is None:
        return ""
    return "ok" if abs(row.psnr - row.psnr_directly) <= TOLERANCE else "**other picture**"


def _found(inferred: dict[str, Any]) -> list[str]:
    size = inferred["size"]
    return [
        inferred["layout"],
        _range(inferred["range"]),
        _range(inferred["output_range"]),
        str(inferred["scale"]),
        ", ".join(f"{name} {value}" for name, value in size.items()) or "any",
        str(inferred["receptive_field"] or "unknown"),
    ]


def _range(values: list[float]) -> str:
    return f"{values[0]:g} .. {values[1]:g}"


def _short(said: str) -> str:
    """Keep the numbers of edgesr's sentence about the value range."""
    found = re.search(r"value range (\S+ \.\. [^ ,]+)(?:, output (\S+ \.\. [^ ,]+))?", said)
    return ", ".join(filter(None, found.groups())) if found else "-"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
