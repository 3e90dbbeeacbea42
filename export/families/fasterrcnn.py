"""Faster R-CNN on MobileNetV3-Large with a feature pyramid: torchvision's layout, which SR4IR follows."""

import argparse
from typing import Any

from edgesr.model.package import ModelPackage
from export.exporting.regions import package_regions
from export.exporting.weights import State, load_into, renamed, tensor
from export.families.labels import Built, add_label_arguments
from export.families.labels import execute as execute_labels
from export.models.fasterrcnn import make_detector
from export.say import say

SHORT, LONGEST = 800, 1333
"""Sides in pixels that torchvision brings pictures to."""
_OLDER = ((r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
          (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"))  # fmt: skip
"""How torchvision called layers before 0.13."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_label_arguments(parser, "detect")


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_labels(arguments, build, _package)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose number of classes, the background among them, the weights tell."""
    what = "a Faster R-CNN on MobileNetV3-Large with a feature pyramid"
    state = renamed(state, _OLDER)
    classes = tensor(state, "roi_heads.box_predictor.cls_score.weight", source=source, what=what).shape[0]
    whole = make_detector(classes)
    load_into(whole, state, source=source, what=what)
    expects = {"resize": {"rule": "fit", "size": [SHORT], "longest": LONGEST, "antialias": False}}
    return Built(whole, f"Faster R-CNN MobileNetV3-Large FPN of {classes} classes", {"input": expects})


def _package(built: Built, arguments: argparse.Namespace, document: dict[str, Any]) -> ModelPackage:
    resize = document["input"].get("resize")
    if resize:
        # torchvision's detectors resize without antialias.
        document["input"]["resize"] = {"antialias": False, **resize}
    return package_regions(
        built.network, arguments.output, document, classes=arguments.classes, target=arguments.target, say=say
    )
