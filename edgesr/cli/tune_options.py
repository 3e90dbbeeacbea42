"""The options of ``edgesr tune``."""

from __future__ import annotations

import argparse
import re
from typing import Any

from edgesr.cli.pack_options import add_diffusion_files
from edgesr.cli.parser import Parser, filled, whole
from edgesr.cli.run_options import LARGEST_SEED


def add_tune(commands: Any, parents: list[Parser]) -> None:
    """Add the command and its options."""
    tune = commands.add_parser(
        "tune",
        parents=parents,
        help="find few-step settings of a latent diffusion without training",
        description="Search start, steps, sampler, spacing, fidelity and consistency of a latent diffusion on your "
        "pictures, and write the best setting that is nowhere below its own full schedule into a new package.",
    )
    tune.add_argument("model", nargs="?", type=filled, metavar="PACKAGE", help="name or package of a latent diffusion")
    tune.add_argument("-o", "--output", type=filled, metavar="PATH", help="new package (default: NAME-tuned.edgesr)")
    tune.add_argument("--name", metavar="NAME", help="name of the new package (default: from the output)")
    group = tune.add_argument_group("pictures")
    group.add_argument("--images", type=filled, metavar="DIR", help="large pictures; made small as the package says")
    group.add_argument("--lr", type=filled, metavar="DIR", help="small pictures, with --hr in place of --images")
    group.add_argument("--hr", type=filled, metavar="DIR", help="the large ones, in the same order")
    group.add_argument("--count", type=whole(1, 10_000), default=16, metavar="N", help="how many (default: 16)")
    group.add_argument(
        "--side", type=whole(8, 4096), metavar="PIXELS",
        help="of the small pictures the middle of this side is taken (default: the package's tile)",
    )  # fmt: skip
    group.add_argument("--lpips", type=filled, metavar="FILE", help="LPIPS network of `python -m export lpips`")
    group = tune.add_argument_group("budget of a picture (one or both)")
    group.add_argument("--max-evaluations", type=whole(1, 10_000), metavar="N", help="network evaluations")
    group.add_argument("--budget", type=_milliseconds, metavar="TIME", help="time on this device, e.g. 50ms or 1.5s")
    group = tune.add_argument_group("search")
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N"
    )
    group.add_argument("--threads", type=whole(1, 1024), metavar="N", help="CPU threads (default: all usable cores)")
    group.add_argument("--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N", help="of the noise (default: 0)")
    group.add_argument("--restart", action="store_true", help="measure again what an earlier search has measured")
    add_diffusion_files(tune, "files in place of PACKAGE")


def _milliseconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)", text, re.ASCII)
    value = float(match[1]) * (1000.0 if match[2] == "s" else 1.0) if match else 0.0
    if not value:
        raise argparse.ArgumentTypeError(f"expected a time such as 50ms or 1.5s, got {text!r}")
    return value
