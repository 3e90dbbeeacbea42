"""The page of results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HEAD = """# What is supported

Made by `python -m tests.support` from the results in [support.json](support.json); not written by hand. Every row is
a network of a paper's size with drawn weights: exported by `python -m export`, built by `edgesr build`, run on the CPU,
and compiled and run on doubles of TensorRT. Networks that label pictures, and U-Nets, have the batch norm statistics of
real ones; a restoration in front of a task is made by `edgesr pack A+B`.

| mark | meaning |
|---|---|
| yes | done, and compared |
| no | refused; the reason stands below |
| - | there is no such form |
| double | the FP16 network is built, loaded and run on a strict double of that version and gives the CPU's pixels, \
or the same classes, areas and boxes; \
operators and opset pass the table of that version where there is one. **Not a real GPU** |
| double, FP32 | the same of the FP32 network, as FP16 was refused |
| DLA | layers of the exported network, at its tile, that break none of NVIDIA's written rules for Orin's DLA, and \
their share of the multiply-adds: edgesr checks every layer (`edgesr/compile/dla.py`). **Not a build on a board**, \
which may take fewer |

"""
LIMIT = (
    "Figures are those against FP32, of restorations on one picture, of the others on up to eight: PSNR and SSIM of "
    "pictures; top-1, mIoU or box agreement, as `edgesr build` counts it, with the PSNR of the outputs. The weights "
    "are drawn, so they show that a form is legal and close, not how a trained network fares (see [build.md](build.md) "
    "and the model cards for those). The boxes of a drawn detector score nearly alike, and which hundred come first "
    "turns on the last digits: it is asked for an agreement of 0.5 in place of 0.98 and 0.9."
)
_FIGURE = re.compile(r"(?<![A-Za-z])\d+(?:\.\d+)?(?:e[+-]?\d+)?")
COLUMNS = ("network", "export", "CPU", "FP16", "INT8", "pictures in and out", "TensorRT 8.6", "10", "11", "DLA")


def render(document: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    rows = document["families"]
    lines = [HEAD + " | ".join(("", *COLUMNS, "")).strip(), "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows.values()]
    lines += ["", LIMIT]
    drawn = [f"* {row['title']}: {row['weights']}." for row in rows.values() if "weights" in row]
    lines += ["", "Weights that are not drawn alone:", "", *drawn] if drawn else []
    lines += ["", "## What stays in FP32, or out of INT8", ""]
    for row in rows.values():
        for kind in ("fp16", "int8"):
            found = row.get(kind, {})
            if not found.get("ok"):
                continue
            made = found["made"].removeprefix("ONNX with ")
            lines.append(f"* {row['title']}, {kind.upper()}: {made}{_left(found['islands'])}.")
    checked = [row for row in rows.values() if "dla" in row]
    lines += ["", "## What a DLA leaves to the GPU, by rule", ""] if checked else []
    for row in checked:
        reasons = "; ".join(f"{count} {reason}" for reason, count in row["dla"]["reasons"].items())
        sides = " x ".join(map(str, row["dla"]["tile"]))
        lines.append(f"* {row['title']}, tile {sides}: {reasons or 'nothing'}.")
    refused = [
        f"* {row['title']}, {step.replace('_', ' ')}: {found['why']}"
        for row in rows.values()
        for step, found in row.items()
        if isinstance(found, dict) and not found.get("ok") and found.get("why")
    ]
    lines += ["", "## What is refused", "", *refused] if refused else []
    lines += ["", "## When and with what", ""]
    for row in rows.values():
        made = row["made_with"]
        libraries = ", ".join(f"{name} {number}" for name, number in made.items() if name != "date")
        lines.append(f"* {row['title']}: {made['date']}, {libraries}.")
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    exported = row["export"]
    if not exported["ok"]:
        return [row["title"], "no", *["-"] * (len(COLUMNS) - 2)]
    size = "x".join(map(str, exported["fixed"])) if exported["fixed"] else "any size"
    return [
        f"{row['title']}, {row['parameters'] / 1e6:.1f} M",
        f"yes, opset {exported['opset']}, {size}, {_equal(row)}",
        _mark(row["cpu"]),
        _figures(row["fp16"]),
        _figures(row["int8"]),
        "-" if "embed_io" not in row else "same bits" if row["embed_io"]["ok"] else "no",
        *(_double(row[f"tensorrt_{major}"]) for major in ("8", "10", "11")),
        _taken(row.get("dla")),
    ]


def _double(found: dict[str, Any]) -> str:
    if not found["ok"]:
        return "no"
    return "double, FP32" if found["precision"] == "fp32" else "double"


def _equal(row: dict[str, Any]) -> str:
    """Say what the graph was compared with: PyTorch, or two networks one after the other."""
    joined = row.get("equal")
    if joined is None:
        return f"parity {row['export']['parity']:.0e}"
    return f"{joined['figure']} {joined['value']:.3g}" if joined["ok"] else "not that of two engines"


def _left(islands: Mapping[str, int]) -> str:
    """List the reasons; those that differ by their figures are one, with the least and the largest figure."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for reason, count in islands.items():
        groups.setdefault(_FIGURE.sub("#", reason), []).append((reason, count))
    told = [f"{sum(count for _, count in found)} {_spanned([text for text, _ in found])}" for found in groups.values()]
    return f". Left: {'; '.join(told)}" if told else ""


def _spanned(reasons: list[str]) -> str:
    columns = zip(*(_FIGURE.findall(reason) for reason in reasons), strict=True)
    spans = [sorted(set(column), key=float) for column in columns]
    shown = iter([span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans])
    return _FIGURE.sub(lambda match: next(shown), reasons[0])


def _taken(found: dict[str, Any] | None) -> str:
    return "not checked" if found is None else f"{found['taken']} of {found['layers']}, {found['share']:.0%}"


def _mark(found: dict[str, Any]) -> str:
    return "yes" if found["ok"] else "no"


def _figures(found: dict[str, Any]) -> str:
    if not found["ok"]:
        return "no"
    decibels = "equal" if found["psnr"] is None else f"{found['psnr']:.1f} dB"
    if "agreement" in found:
        return (
            f"{found['agreement']['metric'].removesuffix(' agreement')} {found['agreement']['value']:.4f}, {decibels}"
        )
    return decibels if found.get("ssim") is None or found["psnr"] is None else f"{decibels}, {found['ssim']:.4f}"
