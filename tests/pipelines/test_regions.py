"""A detector of two networks whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgesr.errors import ModelError
from edgesr.model import ModelDescriptor, ModelPackage, open_package, write_package
from edgesr.pipelines.detect_regions import RegionDetector
from edgesr.pipelines.label_profile import label_profile
from edgesr.pipelines.load import load
from edgesr.pipelines.roi_align import roi_align
from tests import networks
from tests.fakes.tensorrt import VERSIONS
from tests.networks import tensor
from tests.pipelines.test_tensorrt import Machine

STRIDE = 16
DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "name": "squares",
    "version": "1",
    "task": "detect",
    "parts": {
        "network": {
            "file": "network.onnx",
            "sha256": "0" * 64,
            "inputs": {"image": "image"},
            "outputs": {"features": "features", "objectness": "objectness", "deltas": "deltas"},
        },
        "regions": {
            "file": "regions.onnx",
            "sha256": "0" * 64,
            "inputs": {"crops": "crops"},
            "outputs": {"logits": "logits", "deltas": "moves"},
        },
    },
    "size": {"multiple": STRIDE},
    "labels": ["background", "red", "green"],
    "prediction": {
        "activation": "softmax",
        "background": 0,
        "score": 0.5,
        "nms": 0.5,
        "proposals": {
            "anchors": [[[0, 0, 16, 16], [-16, -16, 16, 16]]],
            "strides": [STRIDE],
            "stride": STRIDE,
            "pooled": 2,
            "score": 0.6,
        },
    },
}


def first(path: Path, width: int = 3) -> Path:
    """Features: the mean colour of 16 x 16 pixels. The first anchor counts where red or green is, the other never.

    Further channels of ``width`` are zero.
    """
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[STRIDE] * 2, strides=[STRIDE] * 2),
        helper.make_node("Conv", ["means", "widen"], ["features"]),
        helper.make_node("Conv", ["features", "seen", "less"], ["pairs"]),
        helper.make_node("Transpose", ["pairs"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "flat"], ["objectness"]),
        helper.make_node("Conv", ["features", "still"], ["eight"]),
        helper.make_node("Transpose", ["eight"], ["eight_last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["eight_last", "fours"], ["deltas"]),
    ]
    seen = np.zeros((2, width, 1, 1), np.float32)
    seen[0, :2, 0, 0] = 20
    weights = {
        "widen": np.eye(width, 3, dtype=np.float32)[:, :, np.newaxis, np.newaxis],
        "seen": seen,
        "less": np.array([-10, -10], np.float32),
        "still": np.zeros((8, width, 1, 1), np.float32),
        "flat": np.array([1, -1], np.int64),
        "fours": np.array([1, -1, 4], np.int64),
    }
    outputs = [tensor("features", 1, width, "fh", "fw"), tensor("objectness", 1, "n"), tensor("deltas", 1, "n", 4)]
    return networks.save(path, nodes, [tensor("image", 1, 3, "h", "w")], outputs, weights)


def second(path: Path, width: int = 3) -> Path:
    """Logits: 1 for the background, 10 times the mean of red and of green."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["crops"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["colors"]),
        helper.make_node("MatMul", ["colors", "classes"], ["products"]),
        helper.make_node("Add", ["products", "background"], ["logits"]),
        helper.make_node("MatMul", ["colors", "still"], ["moves"]),
    ]
    weights = {
        "classes": np.pad(np.eye(2, 3, 1, dtype=np.float32) * 10, ((0, width - 2), (0, 0))),
        "background": np.array([1, 0, 0], np.float32),
        "still": np.zeros((width, 12), np.float32),
    }
    outputs = [tensor("logits", "k", 3), tensor("moves", "k", 12)]
    return networks.save(path, nodes, [tensor("crops", "k", width, 2, 2)], outputs, weights)


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    files = {"network.onnx": first(tmp_path / "n.onnx"), "regions.onnx": second(tmp_path / "r.onnx")}
    descriptor = ModelDescriptor.from_json(DOCUMENT, source="test")
    return open_package(write_package(tmp_path / "squares.edgesr", descriptor, files))


def squares(h: int = 70, w: int = 90) -> np.ndarray:
    """Return a red square at (32, 16) and a green one at (64, 48) of 16 x 16 pixels on black."""
    picture = np.zeros((h, w, 3), np.uint8)
    picture[16:32, 32:48, 0] = 255
    picture[48:64, 64:80, 1] = 255
    return picture


def test_both_squares_are_found_and_named(package: ModelPackage) -> None:
    with load(str(package.path), "cpu", threads=1) as detect:
        assert isinstance(detect, RegionDetector)
        found = detect(squares())
        assert sorted(found.cls.tolist()) == [1, 2]
        boxes = {int(cls): box.tolist() for cls, box in zip(found.cls, found.xyxy, strict=True)}
        assert boxes == {1: [32, 16, 48, 32], 2: [64, 48, 80, 64]}
        assert len(detect(squares(), score=float(found.conf.max()))) == 0
        assert len(detect(np.zeros((40, 40, 3), np.uint8))) == 0
        assert list(found.timings) == ["pre", "h2d", "infer", "d2h", "post", "total"]


def test_every_pixel_of_a_crop_is_a_mean_of_points_between_features() -> None:
    features = np.arange(20, dtype=np.float32).reshape(1, 4, 5)  # 5 a row, 1 a column: linear, so that means are exact
    boxes = np.array([[16, 16, 48, 48], [0, 0, 4, 4], [300, 300, 400, 400]], np.float32)
    crops = roi_align(features, boxes, stride=16, pooled=2, samples=2)
    np.testing.assert_allclose(crops[0, 0], [[9, 10], [14, 15]], atol=1e-5)  # centres 1.5 and 2.5 in both directions
    np.testing.assert_allclose(crops[1, 0], [[1.5, 2], [4, 4.5]], atol=1e-5)  # at least one feature large
    assert (crops[2] == 0).all()


def test_the_second_engine_is_built_for_up_to_as_many_regions_as_there_may_be(package: ModelPackage) -> None:
    shapes = label_profile(package, "regions")["crops"]
    assert (shapes.least, shapes.best, shapes.most) == ((1, 3, 2, 2), (250, 3, 2, 2), (1000, 3, 2, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["parts"].pop("regions"), "needs the parts 'network' and 'regions', got"),
        (lambda d: d["prediction"].pop("proposals"), "needs one part named 'network', got network"),
        (
            lambda d: d["parts"]["regions"]["outputs"].pop("deltas"),
            "proposals need the roles deltas, logits; got logits",
        ),
        (
            lambda d: d["prediction"]["proposals"].update(strides=[16, 32]),
            "must have one entry for each of the 1 levels",
        ),
        (lambda d: d.update(task="segment"), "prediction.proposals: are for task detect, got segment"),
        (lambda d: d["prediction"]["proposals"].update(anchors=[[[0, 1]]]), "anchors"),
    ],
)
def test_descriptions_that_do_not_agree_are_refused(change, message) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    change(document)
    with pytest.raises(ModelError) as error:
        ModelDescriptor.from_json(document, source="test")
    assert message in str(error.value)


def test_anchors_of_another_network_are_refused(package: ModelPackage, tmp_path: Path) -> None:
    document = json.loads(package.descriptor.to_json())
    document["prediction"]["proposals"]["anchors"] = [[[0, 0, 16, 16]]]
    files = {part.file: package.read(part.file) for part in package.descriptor.parts.values()}
    path = write_package(tmp_path / "other.edgesr", ModelDescriptor.from_json(document, source="test"), files)
    with (
        load(str(path), "cpu") as detect,
        pytest.raises(ModelError, match=r"30 anchors stand in model\.json"),
    ):
        detect(squares())


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_both_networks_are_compiled_for_tensorrt_and_find_the_same(version, package, tmp_path, monkeypatch) -> None:
    document = json.loads(package.descriptor.to_json())
    document["input"] = {"resize": {"rule": "exact", "size": [64, 96], "antialias": False}}
    files = {part.file: package.read(part.file) for part in package.descriptor.parts.values()}
    path = str(write_package(tmp_path / "exact.edgesr", ModelDescriptor.from_json(document, source="test"), files))
    machine = Machine(version, monkeypatch, tmp_path)
    notes: list[str] = []
    with load(path, "tensorrt", note=notes.append) as detect, load(path, "cpu", threads=1) as reference:
        assert detect.device.startswith("tensorrt")
        found, expected = detect(squares(64, 96)), reference(squares(64, 96))
        assert len(expected) == 2
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=1e-3)
        np.testing.assert_allclose(found.conf, expected.conf, atol=1e-4)
    machine.fake.check()
    built = [text for text in notes if "builds the TensorRT engine" in text]
    assert len(built) == 2
    assert any("crops:1x3x2x2..1000x3x2x2" in text for text in built)
