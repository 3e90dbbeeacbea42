from __future__ import annotations

import math

import numpy as np
import pytest

from edgesr.compile.gate import Picture, Thresholds, compare_pictures, find_worst_layer, require
from edgesr.compile.graph import Graph
from edgesr.compile.quality import compare, ssim
from edgesr.errors import AccuracyError, BackendError
from tests.compile import samples

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(32, 40), (9, 7), (24, 24, 3)])
def test_ssim_and_psnr_agree_with_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    reference = RNG.random(shape).astype(np.float32)
    picture = np.clip(reference + RNG.normal(0, 0.05, shape), 0, 1).astype(np.float32)
    axis = 2 if len(shape) == 3 else None
    expected = metrics.structural_similarity(
        picture.astype(np.float64), reference.astype(np.float64), data_range=1.0, channel_axis=axis
    )
    found = compare(picture, reference)
    assert found.ssim == pytest.approx(expected, abs=1e-9)
    assert found.psnr == pytest.approx(
        metrics.peak_signal_noise_ratio(reference.astype(np.float64), picture.astype(np.float64), data_range=1.0)
    )
    assert found.max_abs == pytest.approx(np.abs(picture - reference).max(), abs=1e-6)


def test_equal_pictures_are_infinitely_similar_and_tiny_ones_do_not_fail():
    picture = RNG.random((16, 16)).astype(np.float32)
    assert compare(picture, picture).psnr == math.inf
    assert ssim(picture, picture) == pytest.approx(1.0)
    for side in (1, 2, 3, 4):
        small = picture[:side, :side]
        assert ssim(small, small) == pytest.approx(1.0)


def run(offset: float):
    def restore(picture: Picture):
        if math.isnan(offset):
            raise BackendError("NaN")
        return picture.pixels + np.float32(offset if picture.name == "b.png" else 0.0)

    return restore


def test_the_gate_names_the_worst_picture_and_layer():
    pictures = [Picture(name, RNG.random((16, 16)).astype(np.float32)) for name in ("a.png", "b.png")]
    verdict = compare_pictures(run(0.01), pictures, [picture.pixels for picture in pictures])
    assert verdict.worst[0] == "b.png"
    assert verdict.worst[1].psnr == pytest.approx(40.0, abs=0.01)
    assert verdict.failures(Thresholds(min_psnr=39, max_abs=0.02)) == []
    with pytest.raises(AccuracyError, match=r"PSNR 40.0 dB is below 60 dB on b.png.*'conv7'; nothing was written") as e:
        require(verdict, Thresholds(min_psnr=60), what="net in fp16", worst_layer=lambda: "conv7")
    assert e.value.exit_code == 5
    assert "largest difference 0.0100 is above 0.001 on b.png" in verdict.failures(Thresholds(max_abs=0.001))[0]


def test_a_candidate_that_yields_no_numbers_fails_every_gate():
    black = np.zeros((16, 16), np.float32)
    verdict = compare_pictures(run(math.nan), [Picture("a.png", black)], [black])
    for thresholds in (Thresholds(10.0, 0.1, 0.5), Thresholds()):
        assert verdict.failures(thresholds) == ["it gives NaN or infinite values on a.png"]


def test_the_worst_layer_is_where_the_error_grows_most(tmp_path):
    graph = samples.body(tmp_path)
    model = graph.copy()
    for tensor in model.graph.initializer:
        if tensor.name == "w1":
            import onnx

            tensor.CopyFrom(onnx.numpy_helper.from_array(graph.array("w1") * np.float32(1.5), "w1"))
    assert find_worst_layer(graph, Graph(model, "network"), samples.feeds()[0], among=["second", "up"]) == "second"
    assert find_worst_layer(graph, graph, samples.feeds()[0], among=["second"]) is None
