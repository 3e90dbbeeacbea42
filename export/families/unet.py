"""U-Net upscalers on encoders of timm: checkpoints of ``export.models.unet``."""

import argparse

from edgesr.errors import UsageError
from export.exporting.weights import State, count, load_into, tensor
from export.families.restoration import Built, add_common_arguments, add_tile_argument, tile_of
from export.families.restoration import execute as execute_restoration
from export.models.unet import UNet

FACE = "56"
"""Side in pixels of the faces of the paper."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)
    add_tile_argument(parser, FACE)
    parser.add_argument(
        "--encoder", default="resnet50", help="name of the encoder in timm, e.g. fastvit_ma36 (default: resnet50)"
    )


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network; FastViT is reparameterized once its weights are in."""
    encoder = getattr(arguments, "encoder", "resnet50")
    what = f"a U-Net on {encoder}"
    steps = count(state, r"decoder\.(\d+)\.")
    widths = [tensor(state, f"decoder.{i}.0.weight", source=source, what=what).shape[0] for i in range(max(steps, 1))]
    try:
        network = UNet(encoder, 2 ** count(state, r"upsample\.(\d+)\.weight"), widths)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"--encoder {encoder}: {' '.join(str(error).split())[:200]}") from None
    load_into(network, state, source=source, what=what)
    network.eval().reparameterize()
    return Built(network, f"U-Net upscaler x{network.scale} on {encoder}", size=tile_of(arguments, FACE, 1))
