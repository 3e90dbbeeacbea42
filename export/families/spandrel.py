"""Whatever spandrel knows: about forty architectures of restoration networks, recognised by their weights."""

import argparse

from torch import Tensor, nn

from edgesr.errors import ModelError, UsageError
from export.exporting.weights import State
from export.families.restoration import Built, add_common_arguments, add_tile_argument, tile_of
from export.families.restoration import execute as execute_restoration
from export.say import say

_DYNAMIC = "dynamic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)
    add_tile_argument(parser, _DYNAMIC)


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Let spandrel build the network and say what it takes."""
    try:
        import spandrel
    except ModuleNotFoundError as error:
        raise UsageError(f"this family needs {error.name}: pip install spandrel torchvision") from None
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError:
        raise ModelError(f"{source}: spandrel {spandrel.__version__} recognises no network in these weights") from None
    except Exception as error:  # a wrong guess of an architecture ends in whatever its constructor raises
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{source}: spandrel fails to load these weights: {reason}") from None
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ModelError(
            f"{source}: {found.architecture.name} takes a mask beside the picture; edgesr runs one picture"
        )
    needs = found.size_requirements
    multiple = max(needs.multiple_of, 1)
    size = tile_of(arguments, _DYNAMIC, multiple)
    if size is None and needs.square:
        raise UsageError(f"{found.architecture.name} takes square pictures alone; give --tile, e.g. --tile 64")
    say(f"spandrel found {found.architecture.name} for {found.purpose}")
    return Built(
        _settled(found.model.eval()), f"{found.architecture.name} x{found.scale}", size=size, multiple=multiple
    )


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
