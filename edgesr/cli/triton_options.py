"""The options of ``edgesr pack --triton``."""

from __future__ import annotations

import argparse

from edgesr.cli.label_options import pair_of_sides
from edgesr.cli.parser import Parser, filled, whole
from edgesr.errors import UsageError

# Each says something about a package that is to be made; --triton takes one that is there.
_OF_PACKAGES = (
    "output", "model_version", "descriptor", "encoder", "unet", "decoder", "schedule", "steps",
    "start_timestep", "latent_scale", "latent_shift", "trained_size", "degradation", "role", "task", "labels", "resize",
    "crop", "interpolation", "no_antialias", "mean", "std",
)  # fmt: skip
_OF_SERVERS = ("embed_io", "max_batch", "instances", "warm_up", "as_input", "ensemble", "plan", "force")


def add_triton_options(pack: Parser) -> None:
    """Add the options of a model repository."""
    group = pack.add_argument_group("model repository of a Triton Inference Server, in place of -o")
    group.add_argument(
        "--triton", type=filled, metavar="DIR", help="write the model (a name, package or .onnx) into DIR/NAME"
    )
    group.add_argument("--embed-io", choices=("uint8", "uint16"), help="pictures in and out (default: uint8)")
    group.add_argument(
        "--max-batch", type=whole(0, 1024), metavar="N", help="pictures in one run, 0 for no batches (default: 8)"
    )
    group.add_argument("--instances", type=whole(1, 64), metavar="N", help="copies on every GPU (default: 1)")
    group.add_argument(
        "--warm-up", type=pair_of_sides, metavar="HxW", help="of the first request (default: the model's tile)"
    )
    group.add_argument(
        "--as-input", action="append", type=filled, metavar="CONTROL",
        help="let every request give this control, such as fidelity; repeatable"
    )  # fmt: skip
    group.add_argument(
        "--ensemble",
        action="store_true",
        help="write NAME-before, NAME-network and NAME-after too, which NAME runs",
    )
    group.add_argument(
        "--plan",
        type=filled,
        metavar="FILE",
        help="TensorRT engine of NAME-network to serve; implies --ensemble",
    )
    group.add_argument("--force", action="store_true", help="replace a model of this name")


def check_triton_options(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that do not go together, or for neither ``-o`` nor ``--triton``."""
    served = arguments.triton is not None
    for name in _OF_PACKAGES if served else _OF_SERVERS:
        if getattr(arguments, name) not in (None, False):
            option = "-o" if name == "output" else f"--{name.replace('_', '-')}"
            if not served:
                raise UsageError(f"{option} is for a model repository; give --triton DIR too, or leave it out")
            raise UsageError(f"{option} is for making a package; pack it first, then give the package to --triton")
    if served and arguments.onnx is None:
        raise UsageError("--triton needs a model: edgesr pack MODEL --triton DIR")
    if not served and arguments.output is None:
        raise UsageError("the following arguments are required: -o/--output; see `edgesr pack --help`")
