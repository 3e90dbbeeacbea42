"""DeepLabV3-MobileNetV3-Large: torchvision's layout, which SR4IR follows."""

import argparse

from export.exporting.weights import State, load_into, tensor
from export.families.labels import Built, add_label_arguments
from export.families.labels import execute as execute_labels
from export.models.deeplab import DeepLab

SHORT = 520
"""Shorter side in pixels that torchvision's preset brings pictures to."""
_AUXILIARY = r"^aux_classifier\."
"""A head for training alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_label_arguments(parser, "segment")


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_labels(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose number of classes the weights tell."""
    what = "a DeepLabV3 on MobileNetV3-Large"
    classes = tensor(state, "classifier.4.weight", source=source, what=what).shape[0]
    network = DeepLab(classes)
    load_into(network, state, source=source, what=what, ignored=_AUXILIARY)
    expects = {"resize": {"rule": "short-side", "size": [SHORT]}}
    return Built(network, f"DeepLabV3-MobileNetV3-Large of {classes} classes", {"input": expects})
