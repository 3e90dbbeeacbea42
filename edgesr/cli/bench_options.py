"""Options of ``edgesr bench``, apart from the code that runs it, so that ``--help`` stays fast."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any

from edgesr.cli.parser import Parser, filled, whole

# Written out, as the help must not wait for numpy.
PRECISIONS = ("fp32", "fp16", "int8", "int8-fp16", "bf16")
KERNELS = ("cubic", "area", "antialiased")


def add_bench(commands: Any, parents: list[Parser]) -> None:
    """Add the command to the parser."""
    bench = commands.add_parser(
        "bench",
        parents=parents,
        help="measure latency, quality and energy of models on this machine",
        description="Time models in turns on the same pictures, measure the quality of what they make, and say what "
        "the figures hold for. Exit code 6: a model or picture failed; 7: the machine throttled or was unstable.",
    )
    bench.add_argument(
        "model", nargs="*", type=filled, metavar="MODEL", help="name, package or .onnx file; or one sweep, a .toml file"
    )
    bench.add_argument(
        "--compare",
        nargs=2,
        type=filled,
        metavar=("OLD", "NEW"),
        help="compare two results of --json in place of a run",
    )
    bench.add_argument("--force", action="store_true", help="compare results of different machines or pictures")
    _add_pictures(bench.add_argument_group("pictures (default: the example X-ray, made four times smaller)"))
    _add_truth(bench.add_argument_group("what is true of the pictures (for networks that label them)"))
    _add_settings(
        bench.add_argument_group("what is measured; lists separated by commas are tried in every combination")
    )
    _add_protocol(bench.add_argument_group("protocol"))
    group = bench.add_argument_group("results")
    group.add_argument("--output", "-o", type=filled, metavar="FILE", help="write all samples as a JSON file")
    group.add_argument("--markdown", type=filled, metavar="FILE", help="write the table as Markdown")
    group.add_argument("--html", type=filled, metavar="FILE", help="write one page with plots and pictures")
    group.add_argument(
        "--budget", type=filled, metavar="COST", help="recommend the best picture within it, e.g. 30ms or 2J"
    )
    group.add_argument(
        "--min-psnr", type=_positive("decibels"), metavar="DB", help="recommend the fastest that reaches it"
    )
    group.add_argument(
        "--min-accuracy",
        type=_share,
        metavar="0..1",
        help="recommend the fastest that reaches it: top-1, mIoU or mAP, without labels the agreement with FP32",
    )
    group.add_argument("--resume", action="store_true", help="go on with the file of -o: measure what is missing in it")


def _add_pictures(group: Any) -> None:
    group.add_argument("--images", type=filled, metavar="DIR", help="inputs; with --downscale references of inputs")
    group.add_argument("--lr", type=filled, metavar="DIR", help="inputs with references of the same names in --hr")
    group.add_argument("--hr", type=filled, metavar="DIR", help="references; inputs are made of them without --lr")
    group.add_argument("--downscale", choices=KERNELS, help="how inputs are made of references (default: cubic)")
    group.add_argument(
        "--limit",
        type=whole(1, 1_000_000),
        metavar="N",
        help="pictures to take (default: 8; all where labels are given)",
    )
    group.add_argument("--lpips", type=filled, metavar="FILE", help="LPIPS network of `python -m export lpips`")
    group.add_argument(
        "--quality",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure quality too (the default), or times alone",
    )


def _add_truth(group: Any) -> None:
    group.add_argument(
        "--labels",
        type=filled,
        metavar="PATH",
        help="a CSV table of files and classes, or a folder with one for each class",
    )
    group.add_argument(
        "--label-column", type=filled, metavar="NAME", help="of the class (default: label, class, target)"
    )
    group.add_argument("--masks", type=filled, metavar="DIR", help="true masks: class numbers, or Pascal VOC's colours")
    group.add_argument(
        "--mask-values", type=_list(whole(0, 65_535)), metavar="LIST", help="grey values of the classes, e.g. 0,255"
    )
    group.add_argument("--classes", type=whole(2, 65_536), metavar="N", help="of a segmentation that names none")
    group.add_argument(
        "--annotations", type=filled, metavar="PATH", help="drawn boxes: a COCO .json file or a folder of VOC .xml"
    )


def _add_settings(group: Any) -> None:
    group.add_argument(
        "--precision", type=_list(_precision), default=[None], metavar="LIST", help=f"{', '.join(PRECISIONS)}"
    )
    group.add_argument("--steps", type=_list(whole(1, 100_000)), default=[None], metavar="LIST", help="of diffusions")
    group.add_argument("--tile", type=_list(whole(1)), default=[None], metavar="LIST", help="tile sides, input pixels")
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N, openvino, tensorrt or tensorrt:N"
    )
    group.add_argument("--threads", type=whole(1, 1024), metavar="N", help="CPU threads (default: all usable cores)")
    group.add_argument("--calib", type=filled, metavar="DIR", help="pictures for INT8 ranges (default: the package's)")
    group.add_argument("--layers", action="store_true", help="time of every layer, and how near to the machine's peak")
    group.add_argument(
        "--streams",
        type=_list(whole(1, 256)),
        default=[],
        metavar="LIST",
        help="throughput with so many at once, e.g. 1,2",
    )


def _add_protocol(group: Any) -> None:
    group.add_argument(
        "--duration", type=_seconds, metavar="TIME", help="of each model, e.g. 10s, 500ms, 2min (default: 10s)"
    )
    group.add_argument("--count", type=whole(1, 10_000_000), metavar="N", help="pictures at least (default: 10)")
    group.add_argument("--warmup", type=_seconds, default=10.0, metavar="TIME", help="at most (default: 10s)")
    group.add_argument(
        "--max-cv", type=_positive("percent"), default=10.0, metavar="PERCENT",
        help="coefficient of variation above which a run is invalid (default: 10)",
    )  # fmt: skip
    group.add_argument(
        "--mlperf", action="store_true", help="SingleStream rules: 600 s, p90; a shorter --duration is not compliant"
    )
    group.add_argument(
        "--power-mode",
        type=filled,
        metavar="MODE",
        help="nvpmodel's number or name for the run; then the old one again",
    )


def _list(parse: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def parse_all(text: str) -> list[Any]:
        values = [parse(word.strip()) for word in text.split(",")]
        if len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(f"names something twice: {text!r}")
        return values

    return parse_all


def _precision(text: str) -> str:
    if text not in PRECISIONS:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(PRECISIONS)}, got {text!r}")
    return text


def _share(text: str) -> float:
    number = _positive("accuracy")(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"expected an accuracy above 0 and at most 1, got {text!r}")
    return number


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)?", text)
    seconds = float(match[1]) * {"ms": 1e-3, "s": 1, "min": 60, "h": 3600}[match[2] or "s"] if match else 0.0
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"expected a time such as 10s or 500ms, got {text!r}")
    return seconds


def _positive(unit: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number of {unit} above 0, got {text!r}")
        return number

    return parse
