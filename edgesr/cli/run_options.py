"""The options of ``edgesr run``."""

from __future__ import annotations

import argparse
import math
from typing import Any

from edgesr.cli.label_options import add_run_options
from edgesr.cli.live_options import add_live_options
from edgesr.cli.parser import Parser, filled, whole
from edgesr.cli.ray_options import add_ray_options

# Written out, as the help must not wait for numpy.
SAMPLERS = ("ddpm", "ddim", "dpm++1s", "dpm++2s", "dpm++2m", "euler", "resshift", "x0")
LARGEST_SEED = 2**64 - 1


def add_run(commands: Any, parents: list[Parser]) -> None:
    """Add the command and its options."""
    run = commands.add_parser(
        "run",
        parents=parents,
        help="restore or label pictures, folders, video or cameras",
        description="Restore, enlarge, classify or segment pictures, or detect what is in them. "
        "Folders keep a manifest and resume where they stopped.",
    )
    run.add_argument(
        "input",
        nargs="+",
        type=filled,
        metavar="INPUT",
        help="picture, folder or quoted glob pattern; or one video, frames/%%05d.png, csi://0, /dev/video0, "
        "rtsp://HOST/PATH, rtp://@:PORT, GStreamer pipeline, or - for Y4M, MJPEG or raw video",
    )
    run.add_argument(
        "-m",
        "--model",
        type=filled,
        metavar="MODEL",
        help="name, package or .onnx file, or RESTORATION+TASK (default: cxr-x4, or $EDGESR_MODEL)",
    )
    run.add_argument(
        "-o",
        "--output",
        type=filled,
        metavar="PATH",
        help="file, or folder (default: beside the input); or .mp4, .mov, .mkv, .webm, .y4m, frames/%%05d.png, "
        "display://0, rtp://HOST:PORT, rtsp://HOST/PATH, /dev/video9, GStreamer pipeline, or - for Y4M",
    )
    run.add_argument(
        "--suffix", metavar="TEXT", help="added to the name of each output (default: _x<scale>, or the task's)"
    )
    run.add_argument(
        "--format", metavar="EXT", help="png, tif, jpg, webp, bmp or dcm (default: the input's; png for jpg, gif)"
    )
    run.add_argument(
        "--quality", type=whole(1, 100), default=95, metavar="N", help="of JPEG and WebP, 1 to 100 (default: 95)"
    )
    run.add_argument("-r", "--recursive", action="store_true", help="take pictures in subfolders too")
    run.add_argument("--restart", action="store_true", help="do a folder again, also what its manifest says is done")
    run.add_argument("--tile", type=whole(1), metavar="PIXELS", help="tile side in input pixels (default: automatic)")
    run.add_argument("--tta", action="store_true", help="average over flips and rotations: 8 times the work")
    run.add_argument(
        "--max-residual",
        type=_levels,
        metavar="LEVELS",
        help="fail (exit 5) when the result, made small again, differs from the input by more grey levels than this",
    )
    run.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N, openvino, tensorrt or tensorrt:N"
    )
    run.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="of the kernels of --device openvino; bf16 is compared with FP32 first (default: fp32)",
    )
    run.add_argument("--threads", type=whole(1, 1024), metavar="N", help="CPU threads (default: all usable cores)")
    run.add_argument("--provider", action="append", metavar="NAME", help="ONNX Runtime execution provider; repeatable")
    run.add_argument(
        "--max-pixels", type=whole(1), default=1 << 28, metavar="N", help="refuse larger inputs (default: 268435456)"
    )
    group = run.add_argument_group("controls (of models that have them; see `edgesr inspect MODEL`)")
    group.add_argument("--fidelity", type=_number, metavar="0..1", help="1 = truest (highest PSNR), 0 = sharpest")
    group.add_argument(
        "--degradation", metavar="NAME", help="how the input was made small: auto, cubic, area, antialiased"
    )
    group.add_argument(
        "--consistency",
        type=_consistency,
        metavar="0..1|MODE",
        help="how strictly the result must agree with the input; of diffusions also off, final or every-step",
    )
    group.add_argument("--uncertainty", action="store_true", help="write the predicted error bound beside each result")
    group.add_argument(
        "--heat-map", action="store_true", help="write the picture coloured by the predicted error beside each result"
    )
    run.add_argument(
        "--extra-outputs",
        action="store_true",
        help="write what the network gives beside the picture, e.g. NAME_parsing.npy and .png",
    )
    group = run.add_argument_group("latent diffusions")
    group.add_argument("--steps", type=whole(1, 100_000), metavar="N", help="network evaluations")
    group.add_argument("--sampler", choices=SAMPLERS, metavar="NAME", help=", ".join(SAMPLERS))
    group.add_argument("--seed", type=whole(0, LARGEST_SEED), metavar="N", help="another one draws another picture")
    group.add_argument(
        "--strength", type=_number, metavar="0..1", help="how far the input is diffused before it is cleaned again"
    )
    group.add_argument(
        "--samples", type=whole(1, 1024), metavar="K", help="draw K pictures; write their mean and their deviation"
    )
    add_run_options(run)
    add_live_options(run)
    add_ray_options(run)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def _levels(text: str) -> float:
    number = _number(text)
    if not 0.0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of grey levels, got {text!r}")
    return number


def _consistency(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
