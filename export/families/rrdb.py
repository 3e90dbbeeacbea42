"""RRDB generators: the layouts of BasicSR, of ESRGAN's own repository, and of its first release."""

import argparse
import functools

from edgesr.errors import ModelError
from export.exporting.weights import State, count, load_into, renamed, tensor
from export.families.restoration import Built, add_common_arguments
from export.families.restoration import execute as execute_restoration
from export.models.rrdb import Rrdb

_ESRGAN = (
    (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^upconv(\d)\.", r"conv_up\1."),
    (r"^HRconv\.", "conv_hr."),
)
_FIRST = (
    (r"^(?:model\.)?0\.(weight|bias)$", r"conv_first.\1"),
    (r"^(?:model\.)?1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"^(?:model\.)?1\.sub\.\d+\.(weight|bias)$", r"conv_body.\1"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell."""
    what = "an RRDB generator"
    state = renamed(_first_release(state), _ESRGAN)
    read = functools.partial(tensor, state, source=source, what=what)
    first, last = read("conv_first.weight"), read("conv_last.weight")
    growth = read("body.0.rdb1.conv1.weight").shape[0]
    blocks, steps = count(state, r"body\.(\d+)\."), count(state, r"conv_up(\d)\.")
    shuffle = int((first.shape[1] / last.shape[0]) ** 0.5)
    if shuffle**2 * last.shape[0] != first.shape[1] or shuffle not in (1, 2, 4):
        raise ModelError(
            f"{source}: these are no weights of {what}: {first.shape[1]} channels in and {last.shape[0]} out"
        )
    network = Rrdb(
        blocks,
        2**steps // shuffle,
        channels=first.shape[0],
        growth=growth,
        in_channels=last.shape[0],
        out_channels=last.shape[0],
        shuffle=shuffle,
    )
    load_into(network, state, source=source, what=f"{what} with {blocks} blocks")
    return Built(network, f"RRDB generator with {blocks} blocks, x{2**steps // shuffle}")


def _first_release(state: State) -> State:
    """Name the numbered layers of ESRGAN's first release; those behind the body depend on the scale."""
    pattern = r"^(?:model\.)?(\d+)\.weight$"
    if count(state, pattern) < 4 or not any(".RDB1." in name for name in state):
        return state
    behind = sorted(int(name.split(".")[-2]) for name in state if name.endswith(".weight") and name.count(".") <= 2)
    behind = [n for n in behind if n > 1]
    names = [*(f"conv_up{i + 1}" for i in range(len(behind) - 2)), "conv_hr", "conv_last"]
    rules = [(rf"^(?:model\.)?{n}\.(weight|bias)$", rf"{name}.\1") for n, name in zip(behind, names, strict=True)]
    return renamed(state, (*_FIRST, *rules))
