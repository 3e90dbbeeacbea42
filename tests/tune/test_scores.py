from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgesr.errors import ModelError
from edgesr.tune.scores import Scorer, Scores, gmsd
from tests.networks import save, tensor

RNG = np.random.default_rng(3)


def by_the_letter(picture: np.ndarray, truth: np.ndarray) -> float:
    """Xue et al. 2014, equations 1 to 5, pixel by pixel, for values of 0 to 255."""
    prewitt = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3

    def magnitude(image: np.ndarray) -> np.ndarray:
        h, w = image.shape[0] // 2, image.shape[1] // 2
        small = np.array([[image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(w)] for y in range(h)])
        found = np.zeros((h - 2, w - 2))
        for y in range(h - 2):
            for x in range(w - 2):
                patch = small[y : y + 3, x : x + 3]
                found[y, x] = math.hypot((patch * prewitt).sum(), (patch * prewitt.T).sum())
        return found

    a, b = magnitude(picture * 255.0), magnitude(truth * 255.0)
    return float(((2 * a * b + 170) / (a**2 + b**2 + 170)).std())


def test_gmsd_is_that_of_its_paper():
    truth = RNG.random((24, 18))
    picture = np.clip(truth + RNG.normal(0, 0.1, truth.shape), 0, 1)
    assert gmsd(picture, truth) == pytest.approx(by_the_letter(picture, truth), rel=1e-9)


def test_gmsd_is_zero_for_equal_pictures_and_grows_with_blur():
    truth = RNG.random((32, 32, 1))
    rows = (truth + np.roll(truth, 1, 0)) / 2
    both = (rows + np.roll(rows, 1, 1)) / 2
    assert gmsd(truth, truth) == 0.0
    assert 0.0 < gmsd(rows, truth) < gmsd(both, truth)
    assert gmsd(truth[:3, :3], truth[:3, :3]) == 0.0


def test_what_is_worse_is_named_with_both_figures():
    ours, theirs = Scores(30.0, 0.9, 0.05, 0.2), Scores(30.5, 0.9, 0.04, 0.1)
    assert ours.misses(theirs) == [
        "PSNR 30.000 is below 30.500 dB", "GMSD 0.05000 is above 0.04000", "LPIPS 0.2000 is above 0.1000",
    ]  # fmt: skip
    assert theirs.misses(ours) == ours.misses(ours) == []


def test_a_gain_counts_distortion_and_perception_alike():
    base = Scores(30.0, 0.9, 0.1)
    assert base.gain(base) == 0.0
    assert Scores(40.0, 0.99, 0.1).gain(base) == pytest.approx(0.5)
    assert Scores(30.0, 0.9, 0.01).gain(base) == pytest.approx(0.5)
    assert Scores(30.0, 0.9, 0.1, 0.02).gain(Scores(30.0, 0.9, 0.5, 0.2)) == pytest.approx(0.5)


def test_an_exported_network_judges_beside(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["image", "reference"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["sizes"]),
        helper.make_node("ReduceMean", ["sizes"], ["distance"], keepdims=0),
    ]
    inputs = [tensor(name, 1, 3, "h", "w") for name in ("image", "reference")]
    path = save(tmp_path / "lpips.onnx", nodes, inputs, [tensor("distance")])
    truth = RNG.random((16, 16, 1)).astype(np.float32)
    picture = np.clip(truth + np.float32(0.1), 0, 1)
    found = Scorer(path)(picture, truth)
    assert found.lpips == pytest.approx(2 * float(np.abs(picture - truth).mean()), rel=1e-5)
    assert Scorer()(truth, truth) == Scores(100.0, 1.0, 0.0)


def test_another_network_is_no_lpips(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Abs", ["x"], ["y"])], [tensor("x", 1, 3, 8, 8)],
                [tensor("y", 1, 3, 8, 8)])  # fmt: skip
    with pytest.raises(ModelError, match=r"two inputs, .* this one has x \[1, 3, 8, 8\]"):
        Scorer(path)
