"""SwinIR: the authors' checkpoints of classical, lightweight, real-world and same-size networks."""

import argparse
import functools

import torch

from edgesr.errors import ModelError
from export.exporting.weights import State, count, load_into, tensor
from export.families.restoration import Built, add_common_arguments, add_tile_argument, tile_of
from export.families.restoration import execute as execute_restoration
from export.models.swinir import SwinIr, Upsampler, relative_positions

_IGNORED = r"(relative_position_index|attn_mask)$|^mean$"
TILE = "64"
"""Side of the default tile in pixels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)
    add_tile_argument(parser, TILE)
    parser.add_argument("--mean-free", action="store_true", help="no mean colour is subtracted (3 channels only)")


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell."""
    what = "a SwinIR"
    read = functools.partial(tensor, state, source=source, what=what)
    first = read("conv_first.weight")
    groups = count(state, r"layers\.(\d+)\.")
    block = "layers.{}.residual_group.blocks.0.attn.relative_position_bias_table"
    tables = [read(block.format(i)) for i in range(max(groups, 1))]
    window = (round(tables[0].shape[0] ** 0.5) + 1) // 2
    index = state.get("layers.0.residual_group.blocks.0.attn.relative_position_index")
    if index is not None and not torch.equal(index, relative_positions(window)):
        raise ModelError(f"{source}: {what} of another order of relative positions than the paper's")
    upsampler, scale = _enlargement(state, first.shape[1])
    network = SwinIr(
        scale,
        first.shape[0],
        [count(state, rf"layers\.{i}\.residual_group\.blocks\.(\d+)\.") for i in range(groups)],
        [table.shape[1] for table in tables],
        window=window,
        ratio=read("layers.0.residual_group.blocks.0.mlp.fc1.weight").shape[0] / first.shape[0],
        upsampler=upsampler,
        channels=first.shape[1],
        has_three_convolutions="conv_after_body.2.weight" in state,
    )
    load_into(network, state, source=source, what=f"{what} x{scale}", ignored=_IGNORED)
    if getattr(arguments, "mean_free", False):
        network.mean.zero_()
    title = f"SwinIR x{scale}, {groups} groups, width {first.shape[0]}, {upsampler or 'same size'}"
    return Built(network, title, size=tile_of(arguments, TILE, window), multiple=window)


def _enlargement(state: State, channels: int) -> tuple[Upsampler, int]:
    if "conv_up1.weight" in state:
        return "nearest+conv", 2 ** count(state, r"conv_up(\d)\.")
    if "conv_before_upsample.0.weight" in state:
        ratios = [
            value.shape[0] // value.shape[1]
            for name, value in state.items()
            if name.startswith("upsample.") and value.ndim > 1
        ]
        return "pixelshuffle", 3 if ratios == [9] else 2 ** len(ratios)
    if "upsample.0.weight" in state:
        return "pixelshuffledirect", round((state["upsample.0.weight"].shape[0] / channels) ** 0.5)
    return "", 1
