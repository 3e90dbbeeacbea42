"""What all restoration families share on the command line and on the way to a package."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from edgesr.errors import AccuracyError, BuildError, ModelError, UsageError
from edgesr.model.writer import check_target
from export.exporting.packaging import PICTURE, package
from export.exporting.targets import TARGETS
from export.exporting.weights import State, read_weights
from export.say import say


@dataclass(frozen=True)
class Built:
    """A network with its weights, in evaluation mode, and what its package says that it cannot tell itself."""

    network: nn.Module
    title: str
    descriptor: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = (PICTURE,)
    size: tuple[int, int] | None = None
    multiple: int | None = None
    channels: int | None = None
    tile: tuple[int, int] | None = None
    """Fixed size that is taken where dynamic sizes do not export."""
    is_global: bool = False
    """Whether the network looks at the whole picture, so that tiles of it give another one."""


Build = Callable[[State, argparse.Namespace, str], Built]
"""Make the network of the weights in a file; the last argument names the file in errors."""


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every family."""
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help=".pth, .pt, .ckpt or .safetensors")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NAME.edgesr", help="package to write")
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="any",
        help="TensorRT whose operators are allowed; any (default): all from 8.6",
    )
    parser.add_argument("--key", help="entry of the checkpoint that holds the weights (default: found by usual names)")
    parser.add_argument("--name", help="name of the model (default: of the package file)")
    parser.add_argument("--descriptor", type=Path, metavar="FILE", help="JSON with further fields of model.json")


def add_tile_argument(parser: argparse.ArgumentParser, default: str, meaning: str = "") -> None:
    """Add the option for the sizes of the graph; ``meaning`` explains a default that is neither a side nor dynamic."""
    parser.add_argument(
        "--tile",
        default=default,
        metavar="SIDE",
        help=f"side of the square tiles that the graph is made for, in pixels, or dynamic "
        f"(default: {default}{meaning})",
    )


def tile_of(arguments: argparse.Namespace | None, default: str, multiple: int) -> tuple[int, int] | None:
    """Return the fixed ``(height, width)`` that was asked for, None for dynamic sizes."""
    text = getattr(arguments, "tile", default)
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1 or int(text) % multiple:
        raise UsageError(f"--tile must be a multiple of {multiple}, or dynamic, got {text!r}")
    return int(text), int(text)


def execute(arguments: argparse.Namespace, build: Build) -> None:
    """Read the weights, build the network and write its package; print the package's path."""
    check_output(arguments.output)
    fields = descriptor_fields(arguments.descriptor)
    state, place = read_weights(arguments.weights, key=arguments.key)
    say(f"{len(state)} tensors from {place}")
    built = build(state, arguments, str(arguments.weights))
    parameters = sum(parameter.numel() for parameter in built.network.parameters())
    say(f"{built.title}, {parameters:,} parameters")
    described = {"description": f"{built.title}, {parameters:,} parameters."}
    name = {"name": arguments.name} if arguments.name else {}
    fields = {**described, **built.descriptor, **fields, **name}
    try:
        _package(built, arguments, fields, built.size)
    except (AccuracyError, BuildError, ModelError) as error:
        if built.size is not None or built.tile is None:
            raise
        say(f"no dynamic size: {error}")
        say(f"so the graph is made for tiles of {built.tile[0]} x {built.tile[1]} pixels; others with --tile")
        _package(built, arguments, fields, built.tile)
    print(arguments.output)


def _package(
    built: Built, arguments: argparse.Namespace, fields: Mapping[str, Any], size: tuple[int, int] | None
) -> None:
    if size is not None and built.is_global:
        say("the network looks at the whole picture: take tiles as large as your pictures, if they are of one size")
    package(
        built.network.eval(),
        arguments.output,
        fields,
        outputs=built.outputs,
        size=size,
        channels=built.channels,
        multiple=built.multiple,
        target=arguments.target,
        say=say,
    )


def check_output(path: Path) -> None:
    """Refuse a name that no package has, and places that cannot be written to, before the work begins."""
    if path.suffix not in ("", ".edgesr", ".zip"):
        raise UsageError(f"-o {path}: must end in .edgesr or .zip, or name a folder")
    check_target(path)


def descriptor_fields(path: Path | None) -> dict[str, Any]:
    """Return what --descriptor holds."""
    if path is None:
        return {}
    try:
        fields = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--descriptor {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--descriptor {path}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"--descriptor {path}: must hold one JSON object")
    return fields
