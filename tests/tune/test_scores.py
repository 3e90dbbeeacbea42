from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgesr.bench import metrics
from edgesr.errors import ModelError
from edgesr.tune.scores import Scorer, Scores
from tests.networks import save, tensor

RNG = np.random.default_rng(3)


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
    truth = RNG.random((32, 32, 1)).astype(np.float32)
    picture = np.clip(truth + np.float32(0.1), 0, 1)
    with Scorer(path) as scorer:
        assert scorer(picture, truth).lpips == pytest.approx(float(np.abs(picture - truth).mean()), rel=1e-5)
    assert Scorer()(truth, truth) == Scores(100.0, 1.0, 0.0)


def test_scores_are_those_of_the_benchmark():
    truth = RNG.random((40, 33, 3))
    picture = np.clip(truth + RNG.normal(0, 0.1, truth.shape), 0, 1)
    pair = metrics.Pair.of(picture, truth)
    assert Scorer()(picture, truth) == Scores(metrics.psnr(pair), metrics.ssim(pair), metrics.gmsd(pair))


def test_another_network_is_no_lpips(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Abs", ["x"], ["y"])], [tensor("x", 1, 3, 8, 8)],
                [tensor("y", 1, 3, 8, 8)])  # fmt: skip
    with pytest.raises(ModelError, match="inputs image, reference and the output distance, not x, y"):
        Scorer(path)
