"""Classifiers: ResNet in the layout of torchvision and timm, FastViT and other networks of timm."""

import argparse
import functools
import re

import torch

from edgesr.errors import ModelError, UsageError
from export.exporting.weights import State, count, load_into, renamed
from export.families.labels import Built, add_label_arguments
from export.families.labels import execute as execute_labels
from export.models.classifier import RESNETS, make_classifier, reparameterized

SIDE, SHORT = 224, 256
"""Of the crop and of the shorter side before it, in pixels, as ImageNet's networks take them."""
_HEADS = ("fc", "head.fc", "head", "classifier", "last_linear")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_label_arguments(parser, "classify")
    parser.add_argument(
        "--encoder", metavar="NAME", help="the network's name in timm (default: recognised, for ResNet and FastViT)"
    )


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_labels(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell; FastViT is reparameterized once they are in."""
    state = with_plain_head(state, source)
    classes = count_classes(state, source)
    encoder = getattr(arguments, "encoder", None) or recognised(state, source)
    try:
        network = make_classifier(encoder, classes)
    except ModuleNotFoundError as error:
        raise UsageError(f"--encoder {encoder} needs {error.name}: pip install timm") from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"--encoder {encoder}: {' '.join(str(error).split())[:200]}") from None
    is_merged = _is_merged(state)
    network = reparameterized(network) if is_merged else network
    load_into(network, state, source=source, what=f"a classifier {encoder} of {classes} classes")
    if not is_merged and encoder not in RESNETS.values():
        network = reparameterized(network)
    expects = {"resize": {"rule": "short-side", "size": [SHORT]}, "crop": [SIDE, SIDE]}
    return Built(network, f"{encoder} classifier of {classes} classes", {"input": expects})


def with_plain_head(state: State, source: str) -> State:
    """Name the last layer as the network does where fine-tuning put it into a ``Sequential``, as behind a dropout."""
    for head in ("fc", "head.fc"):
        found = {match[1] for name in state if (match := re.fullmatch(rf"{re.escape(head)}\.(\d+)\.\w+", name))}
        if not found:
            continue
        if len(found) > 1:
            layers = ", ".join(f"{head}.{number}" for number in sorted(found, key=int))
            raise ModelError(
                f"{source}: its head {head} has several layers ({layers}), and no weights tell what lies between them; "
                "build the network in Python and give it to export.package_labels"
            )
        return renamed(state, [(rf"^{re.escape(head)}\.\d+\.", f"{head}.")])
    return state


def count_classes(state: State, source: str) -> int:
    """Return how many classes the last layer has."""
    for head in _HEADS:
        weight = state.get(f"{head}.weight")
        if weight is not None and weight.ndim == 2:
            return int(weight.shape[0])
    raise ModelError(
        f"{source}: these are no weights of a classifier: none of {', '.join(f'{h}.weight' for h in _HEADS)} is there, "
        f"the file begins with {', '.join(sorted(state)[:3])}"
    )


def recognised(state: State, source: str) -> str:
    """Return the name of the network that has these weights."""
    if "layer1.0.conv1.weight" in state and "conv1.weight" in state:
        blocks = tuple(count(state, rf"layer{i}\.(\d+)\.") for i in (1, 2, 3, 4))
        name = RESNETS.get(("layer1.0.conv3.weight" in state, blocks))
        if name:
            return name
    if any(name.startswith("stages.0.blocks.0.token_mixer.") for name in state):
        for name in _fastvits():
            if _fits(name, state):
                return name
    raise UsageError(f"{source}: neither a ResNet nor a FastViT is recognised; give its name in timm with --encoder")


def _fastvits() -> list[str]:
    try:
        import timm
    except ModuleNotFoundError:
        raise UsageError("FastViT needs timm: pip install timm") from None
    return [str(name) for name in timm.list_models("fastvit_*")]


def _fits(name: str, state: State) -> bool:
    """Tell whether a network has the shapes of the weights, without making its own."""
    own = _shapes(name, is_merged=_is_merged(state))
    return own.keys() <= state.keys() and all(shape == state[key].shape for key, shape in own.items())


@functools.cache
def _shapes(name: str, *, is_merged: bool) -> dict[str, torch.Size]:
    """Return the shapes of all weights but those of the last layer."""
    with torch.device("meta"):
        network = make_classifier(name, 1)
    network = reparameterized(network) if is_merged else network
    return {key: tensor.shape for key, tensor in network.state_dict().items() if not key.startswith("head.fc.")}


def _is_merged(state: State) -> bool:
    """Tell whether the weights are those of a network that was reparameterized before it was saved."""
    return any("reparam_conv." in name for name in state)
