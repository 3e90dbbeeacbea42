"""Options of ``edgesr build``, apart from the code that runs it, so that ``--help`` stays fast."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any

from edgesr.cli.parser import Parser, filled, whole

_LEAST_WORKSPACE = 32 << 20


def add_build(commands: Any, parents: list[Parser]) -> None:
    """Add the command to the parser."""
    build = commands.add_parser(
        "build",
        parents=parents,
        help="make a network faster and prove that it is still right",
        description="Convert a network to FP16 or INT8, compare it with FP32 and write it if it is close enough.",
    )
    build.add_argument("model", nargs="?", type=filled, metavar="MODEL", help="name or package")
    build.add_argument("--onnx", type=filled, metavar="FILE", help="a bare ONNX file in place of MODEL")
    build.add_argument(
        "-o",
        "--output",
        type=filled,
        metavar="PATH",
        help="NAME.edgesr, a folder, NAME.onnx or NAME.engine (default: named after the model)",
    )
    build.add_argument(
        "--target",
        choices=("onnx", "engine"),
        help="typed ONNX, or a TensorRT engine (default: engine where TensorRT is)",
    )
    build.add_argument(
        "--dry-run", action="store_true", help="say what would be built, and whether it can be; write nothing"
    )
    build.add_argument(
        "--unroll",
        type=whole(1, 64),
        metavar="N",
        help="of a latent diffusion: encoder, N steps and decoder as one graph, beside them",
    )
    _add_engine(build.add_argument_group("engine (each of these asks for one)"))
    group = build.add_argument_group("precision (default: FP32)")
    group.add_argument("--fp16", action="store_true", help="FP16, with FP32 where ranges or the gate demand it")
    group.add_argument("--int8", action="store_true", help="INT8 convolutions; with --fp16 the rest becomes FP16")
    group.add_argument("--auto", action="store_true", help="the cheapest precision that reaches --min-psnr")
    group.add_argument("--io", choices=("fp32", "fp16"), default="fp32", help="pictures in and out (default: fp32)")
    group.add_argument(
        "--embed-io",
        nargs="?",
        const="uint8",
        choices=("uint8", "uint16"),
        help="make pictures of this type, channels last, the graph's own input and output (default: uint8)",
    )
    group.add_argument("--exclude", type=_expression, metavar="REGEX", help="nodes or operators that stay in FP32")
    group.add_argument("--no-simplify", action="store_true", help="leave the graph as it is, also where onnxsim is")
    group = build.add_argument_group("calibration")
    group.add_argument("--calib", type=filled, metavar="DIR", help="pictures like those that the network will see")
    group.add_argument(
        "--calib-count", type=whole(1, 10000), default=16, metavar="N", help="pictures to take of them (default: 16)"
    )
    group.add_argument(
        "--calibrator",
        choices=("minmax", "entropy", "percentile"),
        default="entropy",
        help="how INT8 ranges are chosen (default: entropy)",
    )
    group = build.add_argument_group("accuracy gate, against FP32 (defaults depend on the precision)")
    group.add_argument("--min-psnr", type=_number, metavar="DB", help="fp16 60, int8 38, auto 60")
    group.add_argument("--min-ssim", type=_number, metavar="0..1", help="fp16 0.999, int8 0.95")
    group.add_argument(
        "--max-abs", type=_number, metavar="0..1", help="largest difference, as a fraction of full range"
    )
    group.add_argument(
        "--min-agreement",
        type=_number,
        metavar="0..1",
        help="of classes, masks or boxes with FP32's: fp16 0.98, int8 0.9",
    )
    group = build.add_argument_group("layers")
    group.add_argument("--compare", action="store_true", help="compare every layer with FP32; list the first and worst")
    group.add_argument(
        "--compare-threshold",
        type=_number,
        default=0.01,
        metavar="0..1",
        help="relative error from which a layer counts as departing (default: 0.01)",
    )


def _add_engine(group: Any) -> None:
    group.add_argument("--tile", type=whole(1), metavar="PIXELS", help="build for square pictures of this side")
    for name, which in (
        ("shapes", "the only shapes of the inputs"),
        ("min-shapes", "smallest shapes (default: the usual ones)"),
        ("opt-shapes", "usual shapes, for which kernels are chosen"),
        ("max-shapes", "largest shapes (default: the usual ones)"),
    ):
        group.add_argument(f"--{name}", type=filled, metavar="SPEC", help=f"{which}, e.g. image:1x1x64x64,scale:1")
    group.add_argument(
        "--workspace", type=_size, metavar="SIZE", help="scratch memory of a layer, e.g. 512M (default: by the machine)"
    )
    group.add_argument(
        "--opt-level", type=whole(0, 5), metavar="0..5", help="5 tries most kernels and builds longest (default: 3)"
    )
    group.add_argument("--max-aux-streams", type=whole(0, 64), metavar="N", help="further streams; 0 saves memory")
    group.add_argument("--locked", action="store_true", help="rebuild from the timings beside -o NAME.engine")
    group.add_argument("--portable", action="store_true", help="for newer TensorRT and other GPUs too; slower")
    group.add_argument("--dla", type=whole(0, 15), metavar="N", help="run on DLA core N where it can, else on the GPU")


def _size(text: str) -> int:
    try:
        value = parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if value < _LEAST_WORKSPACE:
        raise argparse.ArgumentTypeError(f"expected at least {_LEAST_WORKSPACE >> 20}M, got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"is no regular expression: {error}, got {text!r}") from None
    return text


def parse_bytes(text: str) -> int:
    """Read ``512M``, ``1G``, ``65536K`` or ``512MiB``; units are powers of 1024. Raise ValueError for anything else."""
    match = re.fullmatch(r"(\d{1,9})([KMG])(i?B)?", text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError(f"expected a size such as 512M or 2G, got {text!r}")
    return int(match[1]) << {"K": 10, "M": 20, "G": 30}[match[2].upper()]
