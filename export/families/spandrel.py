"""Whatever spandrel knows: about fifty architectures of restoration networks, recognised by their weights."""

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgesr.errors import ModelError, UsageError
from export.exporting.weights import State
from export.families.restoration import Built, add_common_arguments, add_tile_argument, tile_of
from export.families.restoration import execute as execute_restoration
from export.say import say

_AUTO = "auto"
_LEVEL = 15.0
"""Noise in grey levels of 255 that networks with a noise map are told, where --noise-level says nothing."""
_TILE, _TILE_SAME_SIZE = 64, 128
"""Side of fixed tiles, of networks that enlarge and of others."""


class Called(nn.Module):
    """A network called as spandrel calls it: the picture in, the picture alone out, both in [0, 1]."""

    def __init__(self, network: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, image: Tensor) -> Tensor:
        """Return the picture."""
        return self.call(self.network, image)


class WithNoiseLevel(nn.Module):
    """A network that takes a map of the noise's strength as its last channel, here of one strength."""

    def __init__(self, network: nn.Module, level: float) -> None:
        super().__init__()
        self.network = network
        self.level = level

    def forward(self, image: Tensor) -> Tensor:
        """Return the picture for noise of ``level``, a standard deviation in [0, 1]."""
        return self.network(torch.cat([image, torch.full_like(image[:, :1], self.level)], 1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)
    add_tile_argument(parser, _AUTO, ": dynamic, or fixed tiles where that does not export")
    parser.add_argument(
        "--noise-level",
        type=float,
        metavar="SIGMA",
        help=f"noise in grey levels of 255 that DRUNet and FDnCNN are told to remove (default: {_LEVEL:g})",
    )


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Let spandrel build the network and say what it takes."""
    try:
        import spandrel
    except ModuleNotFoundError as error:
        raise UsageError(f"this family needs {error.name}: pip install 'edgesr[export]'") from None
    loader = spandrel.ModelLoader(device="cpu")
    try:
        try:
            found = loader.load_from_state_dict(dict(state))
        except spandrel.UnsupportedModelError:  # LaMa's own keys begin with what Lightning puts before others
            found = loader.load_from_state_dict({f"model.{name}": tensor for name, tensor in state.items()})
    except spandrel.UnsupportedModelError:
        raise ModelError(f"{source}: spandrel {spandrel.__version__} recognises no network in these weights") from None
    except Exception as error:  # a wrong guess of an architecture ends in whatever its constructor raises
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{source}: spandrel fails to load these weights: {reason}") from None
    name = found.architecture.name
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ModelError(f"{source}: {name} takes a mask beside the picture; edgesr runs one picture")
    if found.purpose == "FaceSR":
        raise ModelError(
            f"{source}: {name} restores aligned faces of 512 x 512 pixels, which edgesr neither finds nor cuts out; "
            "take a network that restores whole pictures"
        )
    needs = found.size_requirements
    multiple = max(needs.multiple_of, 1)
    text = getattr(arguments, "tile", _AUTO)
    size = None if text == _AUTO else tile_of(arguments, _AUTO, multiple)
    least = max(_TILE if found.scale > 1 else _TILE_SAME_SIZE, needs.minimum)
    tile = math.ceil(least / multiple) * multiple
    say(f"spandrel found {name} for {found.purpose}")
    if needs.square and size is None:
        if text != _AUTO:
            raise UsageError(
                f"{name} takes square pictures alone; give --tile {tile} or another multiple of {multiple}"
            )
        size = (tile, tile)
    network = _settled(found.model.eval())
    return Built(
        _called(network, found, arguments, source),
        f"{name} x{found.scale}",
        size=size,
        multiple=multiple,
        channels=found.input_channels,
        tile=(tile, tile) if text == _AUTO else None,
        is_global=found.tiling != spandrel.ModelTiling.SUPPORTED,
    )


def _called(network: nn.Module, found: Any, arguments: argparse.Namespace | None, source: str) -> nn.Module:
    """Return the network with what spandrel does before and after it."""
    level = getattr(arguments, "noise_level", None)
    takes_level = found.architecture.id == "DRUNet" or getattr(network, "mode", None) == "FDnCNN"
    if takes_level:
        level = _LEVEL if level is None else level
        if not 0 <= level <= 255:
            raise UsageError(f"--noise-level must be within 0 .. 255, got {level:g}")
        say(f"made for noise of {level:g} grey levels of 255; another with --noise-level")
        return WithNoiseLevel(network, level / 255).eval()
    if level is not None:
        raise UsageError(f"--noise-level: {found.architecture.name} takes no noise level; leave it out ({source})")
    return Called(network, found._call_fn).eval()


def _settled(network: nn.Module) -> nn.Module:
    """Return a network that does not write to itself when it is run, which the exporters cannot follow."""
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                delattr(module, name)
                module.register_buffer(name, value, persistent=False)
        update = getattr(module, "update_params", None)
        if callable(update) and hasattr(module, "eval_conv"):
            update()  # SPAN merges its branches before every picture, under which PyTorch's exporters crash
            module.update_params = _nothing
    return network


def _nothing() -> None:
    """Take the place of what was done once."""
