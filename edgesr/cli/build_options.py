"""Options of ``edgesr build``, apart from the code that runs it, so that ``--help`` stays fast."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any

from edgesr.cli.parser import Parser, filled, whole


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
        help="NAME.edgesr, a folder, or NAME.onnx (default: named after the model)",
    )
    build.add_argument(
        "--target",
        choices=("onnx", "engine"),
        help="typed ONNX, or a TensorRT engine (default: engine where TensorRT is)",
    )
    group = build.add_argument_group("precision (default: FP32)")
    group.add_argument("--fp16", action="store_true", help="FP16, with FP32 where ranges demand it")
    group.add_argument("--int8", action="store_true", help="INT8 convolutions; with --fp16 the rest becomes FP16")
    group.add_argument("--auto", action="store_true", help="the cheapest precision that reaches --min-psnr")
    group.add_argument("--io", choices=("fp32", "fp16"), default="fp32", help="pictures in and out (default: fp32)")
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
