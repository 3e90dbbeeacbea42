"""Packages that tell red, green and blue, and pictures of which is known what they show."""

import numpy as np

from edgesr.image import Picture, write
from edgesr.model import pack
from edgesr.pipelines.load import cpu_probe
from tests import networks

COLORS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
PLAIN = {"range": [0, 1], "mean": [0], "std": [1]}


def packed(network, task, labels, name=None):
    target = network.with_suffix(".edgesr")
    overrides = {"task": task, "input": PLAIN, **({"labels": labels} if labels else {})}
    pack(network, target, name=name or task, version="1", overrides=overrides, probe=cpu_probe)
    return target


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Picture((np.atleast_3d(pixels),)))


def classifier(folder, labels=tuple(COLORS)):
    folder.mkdir(parents=True, exist_ok=True)
    return packed(networks.color_classifier(folder / "c.onnx"), "classify", list(labels))


def segmenter(folder, labels=("nothing", *COLORS)):
    folder.mkdir(parents=True, exist_ok=True)
    return packed(networks.color_segmenter(folder / "s.onnx"), "segment", list(labels))


def folder_of_classes(folder):
    """Two pictures of each colour under the same two names, and a blue one among the red."""
    for name, color in COLORS.items():
        for number in range(2):
            save(folder / name / f"{number}.png", np.full((20, 20, 3), color, np.uint8))
    save(folder / "red" / "wrong.png", np.full((20, 20, 3), COLORS["blue"], np.uint8))
    return folder
