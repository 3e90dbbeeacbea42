from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgesr.model.probing import Probe
from edgesr.model.receptive_field import measure_receptive_field
from tests.model.samples import enlarge, info, probe, save


def radius(path: Path, *, scale: int = 1, multiple: int = 1, **limits: Any) -> int | None:
    opened = Probe(
        probe(path), "x" if scale == 1 else "image", "y" if scale == 1 else "upscaled", "NCHW", 1, "float32", {}
    )
    return measure_receptive_field(opened, scale, multiple, (0.0, 1.0), **limits)


def chain(path: Path, *nodes: Any, weights: dict[str, Any] | None = None) -> Path:
    return save(path, list(nodes), [info("x", 1, 1, "h", "w")], [info("y", 1, 1, "h", "w")], weights or {})


def convolutions(path: Path, depth: int, kernel: int, dilation: int = 1) -> Path:
    pad = [dilation * (kernel // 2)] * 4
    names = ["x", *[f"t{index}" for index in range(depth - 1)], "y"]
    nodes = []
    for source, target in pairwise(names):
        nodes.append(helper.make_node("Conv", [source, "w"], [f"{target}c"], pads=pad, dilations=[dilation] * 2))
        nodes.append(helper.make_node("LeakyRelu", [f"{target}c"], [target]))
    weights = {"w": np.full((1, 1, kernel, kernel), 1 / kernel**2, np.float32)}
    return chain(path, *nodes, weights=weights)


@pytest.mark.parametrize(("depth", "kernel", "dilation"), [(1, 1, 1), (1, 3, 1), (4, 3, 1), (2, 7, 1), (3, 3, 9)])
def test_the_receptive_field_of_convolutions_is_exact(tmp_path: Path, depth: int, kernel: int, dilation: int) -> None:
    assert radius(convolutions(tmp_path / "x.onnx", depth, kernel, dilation)) == depth * (kernel // 2) * dilation


def test_a_receptive_field_wider_than_the_first_probe_is_found(tmp_path: Path) -> None:
    assert radius(convolutions(tmp_path / "x.onnx", 2, 3, 25)) == 50


def test_enlargement_looks_at_one_pixel(tmp_path: Path) -> None:
    assert radius(enlarge(tmp_path / "x.onnx", scale=4), scale=4) == 0


def test_every_phase_of_a_strided_network_is_measured(tmp_path: Path) -> None:
    """Blocks of 8 pixels that share their mean: a pixel at one edge reaches 7 pixels, to either side."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["m"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Resize", ["m", "", "scales"], ["y"], mode="nearest"),
    ]
    path = chain(tmp_path / "x.onnx", *nodes, weights={"scales": np.array([1, 1, 8, 8], np.float32)})
    assert radius(path, multiple=8) == 7


def test_global_pooling_and_attention_are_unbounded(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["g"]), helper.make_node("Add", ["x", "g"], ["y"])]
    assert radius(chain(tmp_path / "pool.onnx", *nodes)) is None
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["soft"]),
        helper.make_node("Reshape", ["soft", "shape"], ["y"]),
    ]
    assert radius(chain(tmp_path / "softmax.onnx", *nodes)) is None


def test_a_slow_network_is_not_measured_on_large_pictures(tmp_path: Path) -> None:
    path = convolutions(tmp_path / "x.onnx", 2, 3, 25)
    assert radius(path, seconds=0.0) is None
    assert radius(path, largest=64) is None


def test_dead_units_do_not_hide_the_receptive_field(tmp_path: Path) -> None:
    """max(conv(x) - 0.9, 0) is zero for most pictures: only a strong impulse passes."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[2, 2, 2, 2]),
        helper.make_node("Sub", ["c", "t"], ["s"]),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["y"]),
    ]
    weights = {"w": np.full((1, 1, 5, 5), 0.04, np.float32), "t": np.array([0.9], np.float32)}
    assert radius(chain(tmp_path / "x.onnx", *nodes, weights=weights)) == 2


@pytest.mark.parametrize("away", [[0, 0], [-1, -1]], ids=["first", "last"])
def test_a_network_that_looks_at_a_place_of_the_picture_is_unbounded(tmp_path: Path, away: list[int]) -> None:
    """One far pixel is added everywhere, which a change of the middle does not show."""
    nodes = [
        helper.make_node("Gather", ["x", "row"], ["r"], axis=2),
        helper.make_node("Gather", ["r", "column"], ["c"], axis=3),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    weights = {name: np.array([place]) for name, place in zip(("row", "column"), away, strict=True)}
    assert radius(chain(tmp_path / "x.onnx", *nodes, weights=weights)) is None


def test_a_network_that_stretches_features_over_the_picture_is_unbounded(tmp_path: Path) -> None:
    """Pooling that drops what is left at the border, enlarged to the picture's size: the factor depends on the size."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[7, 7], strides=[3, 3]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Resize", ["p", "", "", "size"], ["e"], mode="linear"),
        helper.make_node("Mul", ["x", "e"], ["y"]),
    ]
    assert radius(chain(tmp_path / "x.onnx", *nodes)) is None
