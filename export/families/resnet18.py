"""ResNet18 classifiers, as SR4IR puts them behind super-resolution: the layout of torchvision and timm."""

import argparse

from export.exporting.weights import State
from export.families import classifier
from export.families.labels import Built, add_label_arguments
from export.families.labels import execute as execute_labels

NAME = "resnet18"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_label_arguments(parser, "classify")
    parser.set_defaults(encoder=NAME)


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_labels(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose number of classes the weights tell."""
    return classifier.build(state, argparse.Namespace(encoder=NAME), source)
