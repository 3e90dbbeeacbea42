"""A restoration and a task as one graph: the same numbers as two networks one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgesr.errors import UsageError
from edgesr.model import ModelPackage, pack
from edgesr.model.chain import write_chain
from edgesr.pipelines.fuse_chain import fuse_chain
from edgesr.pipelines.load import cpu_probe, load, open_model
from tests import networks

Make = Callable[..., ModelPackage]
RGB = ["red", "green", "blue"]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Pack a network; keywords are the fields of model.json."""

    def packed(network: Path, **fields: Any) -> ModelPackage:
        target = tmp_path / f"{network.stem}.edgesr"
        return pack(network, target, name=network.stem.lower(), version="1", overrides=fields, probe=cpu_probe)

    return packed


@pytest.fixture
def enlarger(make: Make, tmp_path: Path) -> ModelPackage:
    """Enlarges twice, with values in [0, 255] inside."""
    network = networks.convolution_x(tmp_path / "twice.onnx", scale=2, channels=3)
    return make(network, input={"range": [0, 255]}, output_range=[0, 255])


def picture(h: int, w: int) -> np.ndarray:
    rows, columns = np.mgrid[:h, :w]
    return np.stack([rows / h, columns / w, (rows + columns) % 7 / 7], axis=2).astype(np.float32)


def both(tmp_path: Path, first: ModelPackage, second: ModelPackage, image: np.ndarray, **options: Any) -> list[Any]:
    """Label one picture with the chain of two engines and with the fused graph."""
    write_chain(tmp_path / "chain.edgesr", first, second, name="chain", version="1")
    fuse_chain(tmp_path / "fused.edgesr", first, second, name="fused", version="1", **options)
    found = []
    for name in ("chain", "fused"):
        with load(tmp_path / f"{name}.edgesr", "cpu", threads=1) as label:
            found.append(label(image))
    return found


def test_a_fused_classifier_crops_and_normalises_in_the_graph(make: Make, enlarger: ModelPackage, tmp_path) -> None:
    network = networks.color_classifier(tmp_path / "c.onnx", side=16)
    resize = {"resize": {"rule": "short-side", "size": [20]}, "crop": [16, 16]}
    classifier = make(network, task="classify", labels=RGB, input={**IMAGENET, **resize})
    chain, fused = both(tmp_path, enlarger, classifier, picture(10, 13), size=(10, 13))
    np.testing.assert_allclose(fused.scores, chain.scores, rtol=1e-4)
    assert np.ptp(chain.scores) > 0.01
    assert fused.names == chain.names == tuple(RGB)


@pytest.mark.parametrize(
    ("size", "rule"),
    [((6, 7), {}), ((24, 30), {}), ((24, 30), {"interpolation": "bicubic"}), ((9, 7), {"antialias": False})],
    ids=["enlarged", "made small", "cubic", "not antialiased"],
)
def test_pictures_are_resized_in_the_graph_with_the_hosts_filter(make: Make, enlarger, tmp_path, size, rule) -> None:
    network = networks.color_classifier(tmp_path / "c.onnx", side=16)
    resize = {"resize": {"rule": "short-side", "size": [20], **rule}, "crop": [16, 16]}
    classifier = make(network, task="classify", labels=RGB, input={**IMAGENET, **resize})
    chain, fused = both(tmp_path, enlarger, classifier, picture(*size), size=size)
    np.testing.assert_allclose(fused.scores, chain.scores, rtol=1e-4)


def test_a_fused_segmentation_of_resized_pictures_finds_the_same_regions(make: Make, enlarger, tmp_path) -> None:
    network = networks.color_segmenter(tmp_path / "s.onnx", stride=4)
    resize = {"resize": {"rule": "short-side", "size": [24]}}
    segmenter = make(network, task="segment", labels=["none", *RGB], input={**IMAGENET, **resize})
    chain, fused = both(tmp_path, enlarger, segmenter, picture(16, 24), size=(16, 24))
    assert (chain.mask.shape, fused.mask.shape) == ((32, 48), (16, 24))
    assert (chain.mask[::2, ::2] == fused.mask).mean() > 0.9
    assert len(np.unique(fused.mask)) > 1


def test_controls_of_the_restoration_are_fixed_in_the_graph(make: Make, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "factors"], ["large"], mode="nearest"),
        helper.make_node("Add", ["light", "quantum"], ["added"]),
        helper.make_node("Mul", ["large", "added"], ["y"]),
    ]
    inputs = [networks.tensor("x", 1, 3, "h", "w"), networks.tensor("light", 1), networks.tensor("quantum", 1)]
    factors = {"factors": np.array([1, 1, 2, 2], np.float32)}
    outputs = [networks.tensor("y", 1, 3, "h2", "w2")]
    part = {"inputs": {"image": "x", "light": "light", "quantum": "quantum"}, "outputs": {"image": "y"}}
    control = {"default": [0.5], "minimum": 0, "maximum": 1, "choices": {"dark": [0.25]}}
    restore = make(
        networks.save(tmp_path / "lit.onnx", nodes, inputs, outputs, factors),
        parts={"network": part}, controls={"light": control}, scale=2, input={"range": [0, 1]}, output_range=[0, 1],
    )  # fmt: skip
    network = networks.color_classifier(tmp_path / "colors.onnx", side=16)
    classifier = make(network, task="classify", labels=RGB, input=IMAGENET)
    image = np.rint(picture(8, 8) * 255).astype(np.uint8)
    write_chain(tmp_path / "chain.edgesr", restore, classifier, name="chain", version="1")
    found = []
    for light, shown in ((1.0, "1.0"), ("dark", "dark"), (None, "0.5")):
        fused = fuse_chain(tmp_path / "f.edgesr", restore, classifier, name="f", version="1", controls={"light": light})
        with load(tmp_path / "f.edgesr", "cpu", threads=1) as label:
            found.append(label(image).scores)
        with load(tmp_path / "chain.edgesr", "cpu", threads=1, light=light) as label:
            np.testing.assert_allclose(found[-1], label(image).scores, rtol=0.1)  # the chain rounds to 8 bits
        assert fused.descriptor.description == f"lit 1 (light {shown}) in front of colors 1"
        assert set(fused.descriptor.parts["network"].inputs) == {"image"}
    assert min(np.abs(found[0] - other).max() for other in found[1:]) > 0.01


def test_what_a_chain_decides_by_picture_is_said_when_it_is_fixed(make: Make, tmp_path: Path) -> None:
    network = networks.color_classifier(tmp_path / "c.onnx", side=32)
    classifier, said = make(network, task="classify", labels=RGB, input=IMAGENET), []
    fuse_chain(tmp_path / "f.edgesr", open_model("cxr-x4-fast"), classifier, name="f", version="1", say=said.append)
    assert said == ["degradation is cubic for every picture, where a chain of two looks at each; change it with --set"]


def test_a_fused_segmentation_takes_any_size_and_gives_the_same_classes(make: Make, enlarger, tmp_path) -> None:
    network = networks.color_segmenter(tmp_path / "s.onnx", stride=4)
    segmenter = make(network, task="segment", labels=["none", *RGB], input=IMAGENET)
    fused = fuse_chain(tmp_path / "fused.edgesr", enlarger, segmenter, name="fused", version="1")
    assert (fused.descriptor.size.fixed, fused.descriptor.scale) == (None, 2)
    for size in ((16, 24), (20, 12)):
        chain, one = both(tmp_path, enlarger, segmenter, picture(*size))
        assert one.mask.shape == size
        assert chain.mask.shape == (2 * size[0], 2 * size[1])
        same = chain.mask[::2, ::2] == one.mask
        assert same.mean() > 0.9  # one looks at every other pixel's corner, not at its centre
        assert len(np.unique(one.mask)) > 1


def test_boxes_of_a_fused_detector_are_in_pixels_of_the_small_picture(make: Make, enlarger, tmp_path) -> None:
    boxes = np.array([[4, 6, 20, 30], [0, 0, 32, 32]], np.float32)
    outputs = {"boxes": boxes, "scores": np.array([0.9, 0.8], np.float32), "labels": np.array([0, 2], np.int64)}
    network = networks.fixed_outputs(tmp_path / "d.onnx", (32, 32), **outputs)
    exact = {"resize": {"rule": "exact", "size": [32, 32]}}
    detector = make(network, task="detect", labels=RGB, input={**IMAGENET, **exact})
    chain, fused = both(tmp_path, enlarger, detector, picture(16, 16))
    assert open_model(tmp_path / "fused.edgesr").descriptor.size.fixed == (16, 16)
    np.testing.assert_allclose(chain.xyxy, boxes)
    np.testing.assert_allclose(fused.xyxy, boxes / 2)
    assert fused.cls.tolist() == chain.cls.tolist()


def test_what_a_graph_cannot_do_is_refused(make: Make, enlarger: ModelPackage, tmp_path: Path) -> None:
    resize = {"resize": {"rule": "short-side", "size": [20]}, "crop": [16, 16]}
    network = networks.color_classifier(tmp_path / "c.onnx", side=16)
    classifier = make(network, task="classify", labels=RGB, input={**IMAGENET, **resize})

    def refused(first: ModelPackage, second: ModelPackage, message: str, **options: Any) -> None:
        with pytest.raises(UsageError, match=message):
            fuse_chain(tmp_path / "x.edgesr", first, second, name="x", version="1", **options)
        assert not (tmp_path / "x.edgesr").exists()

    boxes = {"boxes": np.zeros((1, 4), np.float32), "scores": np.ones(1, np.float32), "labels": np.zeros(1, np.int64)}
    detector = make(
        networks.fixed_outputs(tmp_path / "d.onnx", (32, 32), **boxes), task="detect", labels=RGB,
        input={"resize": {"rule": "exact", "size": [32, 32]}},
    )  # fmt: skip
    refused(
        enlarger, detector, "resizes the 24x24 of twice to 32x32, which no fused graph tells its boxes", size=(12, 12)
    )
    refused(enlarger, classifier, "twice has no control 'fidelity'", size=(12, 12), controls={"fidelity": 1})
    free = make(networks.color_segmenter(tmp_path / "s.onnx"), task="segment", input=IMAGENET)
    fused = fuse_chain(tmp_path / "once.edgesr", enlarger, free, name="once", version="1")
    refused(enlarger, fused, "begins with a restoration already")
