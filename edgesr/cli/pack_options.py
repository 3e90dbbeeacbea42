"""The options of ``edgesr pack``."""

from __future__ import annotations

import argparse
from typing import Any

from edgesr.cli.label_options import add_pack_options, pair_of_sides
from edgesr.cli.parser import Parser, filled, number, whole
from edgesr.cli.triton_options import add_triton_options


def add_pack(commands: Any, parents: list[Parser]) -> None:
    """Add the command and its options."""
    pack = commands.add_parser(
        "pack",
        parents=parents,
        help="make a model package from ONNX files",
        description="Make a model package from an ONNX file, or the three of a latent diffusion, and what you know.",
    )
    pack.add_argument(
        "onnx",
        nargs="?",
        type=filled,
        metavar="ONNX",
        help="a network, or RESTORATION+TASK to chain two packages",
    )
    pack.add_argument(
        "-o", "--output", type=filled, metavar="NAME.edgesr", help="package file, or folder (needed without --triton)"
    )
    pack.add_argument("--name", metavar="NAME", help="model name (default: from the output)")
    pack.add_argument("--model-version", metavar="X.Y.Z", help="version of the model (default: 1.0.0)")
    pack.add_argument("--descriptor", metavar="FILE", help="JSON with further fields of model.json, e.g. licence")
    group = pack.add_argument_group("RESTORATION+TASK")
    group.add_argument("--fused", action="store_true", help="one graph in place of two engines")
    group.add_argument(
        "--size", type=pair_of_sides, metavar="HxW",
        help="of pictures before the restoration, for which the engines of --fused, and of a task that takes any size, "
        "are compiled (default: the networks')",
    )  # fmt: skip
    pack.add_argument(
        "--set", action="append", type=_setting, metavar="CONTROL=VALUE",
        help="with --fused and --triton, value of a control such as fidelity=1 (default: the model's); repeatable"
    )  # fmt: skip
    add_diffusion_files(pack, "latent diffusion, in place of ONNX")
    add_pack_options(pack)
    add_triton_options(pack)


def add_diffusion_files(parser: Parser, title: str) -> None:
    """Add what names the files of a latent diffusion, and what they do not say."""
    group = parser.add_argument_group(title)
    group.add_argument("--encoder", type=filled, metavar="FILE", help="picture to latent")
    group.add_argument("--unet", type=filled, metavar="FILE", help="the network that is called in every step")
    group.add_argument("--decoder", type=filled, metavar="FILE", help="latent to picture")
    group.add_argument("--schedule", type=filled, metavar="FILE", help="scheduler_config.json as diffusers writes it")
    group.add_argument("--steps", type=whole(1, 100_000), metavar="N", help="network evaluations by default")
    group.add_argument(
        "--start-timestep", type=whole(0, 99_999), metavar="T", help="where the diffused input starts (default: noise)"
    )
    group.add_argument(
        "--latent-scale", type=number, metavar="X", help="scaling_factor of diffusers' AutoencoderKL (default: 1)"
    )
    group.add_argument("--latent-shift", type=number, metavar="X", help="its shift_factor (default: 0)")
    group.add_argument(
        "--trained-size", type=whole(1, 65536), metavar="PIXELS", help="side of the small pictures of training"
    )
    group.add_argument(
        "--degradation", choices=("cubic", "area", "antialiased"), metavar="NAME",
        help="how the pictures of training were made small: cubic, area, antialiased"
    )  # fmt: skip
    group.add_argument(
        "--role", action="append", type=_role, metavar="ROLE=TENSOR", help="state, timestep, condition or output of "
        "the U-Net, where they cannot be told apart; repeatable"
    )  # fmt: skip


def _role(text: str) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected ROLE=TENSOR such as timestep=t, got {text!r}")
    return role, name


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise argparse.ArgumentTypeError(f"expected CONTROL=VALUE such as fidelity=1, got {text!r}")
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        return name, value
    return name, numbers if len(numbers) > 1 else numbers[0]
