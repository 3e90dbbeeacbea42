"""Classifiers, segmenters and detectors on networks whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgesr
from edgesr.errors import InputError, ModelError, UsageError
from edgesr.image import Picture, write
from edgesr.image.draw import LEAST_SIDE
from edgesr.model import pack
from edgesr.model.chain import write_chain
from edgesr.pipelines.load import cpu_probe, load, open_model
from tests import networks

Make = Callable[..., Any]
RGB = ["red", "green", "blue"]
PLAIN = {"range": [0, 1], "mean": [0], "std": [1]}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Pack a network for a task and load it; keywords are the fields of model.json."""
    opened = []

    def packed(network: Path, task: str, labels: list[str] | None = None, **fields: Any) -> Any:
        target = tmp_path / f"{network.stem}.edgesr"
        said = {"task": task, **({"labels": labels} if labels else {}), **fields}
        said["input"] = {**PLAIN, **said.get("input", {})}
        pack(network, target, name=network.stem.lower(), version="1", overrides=said, probe=cpu_probe)
        opened.append(load(target, "cpu", threads=1))
        return opened[-1]

    yield packed
    for pipeline in opened:
        pipeline.close()


def flat(color: tuple[int, int, int], h: int = 40, w: int = 30) -> np.ndarray:
    return np.full((h, w, 3), color, np.uint8)


def test_a_classifier_names_the_best_class(make: Make, tmp_path: Path) -> None:
    classify = make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB)
    assert isinstance(classify, edgesr.Classifier)
    found = classify(flat((0, 0, 255)))
    powers = np.exp([0, 0, 10])
    np.testing.assert_allclose(found.scores, powers / powers.sum(), rtol=1e-5)
    assert [name for _, name, _ in found.top(2)] == ["blue", "red"]
    assert found.predictions()["classes"][0]["name"] == "blue"
    assert list(found.timings) == ["pre", "h2d", "infer", "d2h", "post", "total"]


def test_every_kind_of_picture_is_classified_alike(make: Make, tmp_path: Path) -> None:
    classify = make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB)
    expected = classify(flat((0, 255, 51))).scores
    as_float = flat((0, 255, 51)).astype(np.float64) / 255
    with_alpha = np.concatenate([flat((0, 255, 51)), flat((9, 9, 9))[..., :1]], axis=2)
    for same in (flat((0, 255, 51)).astype(np.uint16) * 257, as_float, with_alpha):
        np.testing.assert_allclose(classify(same).scores, expected, rtol=1e-4)
    np.testing.assert_allclose(classify(np.full((9, 9), 80, np.uint8)).scores, [1 / 3] * 3, rtol=1e-5)


def test_colour_order_of_the_caller_is_kept_apart_from_the_networks(tmp_path: Path, make: Make) -> None:
    make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB).close()
    write(tmp_path / "blue.png", Picture((flat((0, 0, 255)),)))
    with load(tmp_path / "c.edgesr", "cpu", color="bgr") as classify:
        assert classify(flat((255, 0, 0))).top(1)[0][1] == "blue"
        (from_file,) = classify.predict(tmp_path / "blue.png")
        assert from_file.top(1)[0][1] == "blue"
        assert (from_file.overlay()[-1, -1] == (0, 0, 255)).all()


def test_pictures_stream_and_threads_agree(make: Make, tmp_path: Path) -> None:
    classify = make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB)
    pictures = [flat((i * 10, 90, 255 - i * 10), 20 + i, 33) for i in range(12)]
    alone = [classify(picture).scores for picture in pictures]
    streamed = classify.predict(pictures, stream=True)
    np.testing.assert_array_equal(next(streamed).scores, alone[0])
    with ThreadPoolExecutor(6) as threads:
        for found, expected in zip(threads.map(classify, pictures), alone, strict=True):
            np.testing.assert_array_equal(found.scores, expected)
    futures = [classify.submit(picture) for picture in pictures]
    for future, expected in zip(futures, alone, strict=True):
        np.testing.assert_array_equal(future.result().scores, expected)


def test_a_segmenter_follows_the_colours_at_the_pictures_own_size(make: Make, tmp_path: Path) -> None:
    names = ["none", *RGB]
    rule = {"resize": {"rule": "exact", "size": [64, 64], "antialias": False}}
    segment = make(networks.color_segmenter(tmp_path / "s.onnx"), "segment", names, input=rule)
    picture = np.zeros((50, 90, 3), np.uint8)
    picture[:, :45, 0] = 255
    picture[25:, 45:, 2] = 255
    found = segment(picture)
    assert isinstance(found, edgesr.Segmentation)
    assert (found.mask.shape, found.mask.dtype) == ((50, 90), np.uint8)
    expected = np.where(picture[..., 0] > 0, 1, np.where(picture[..., 2] > 0, 3, 0))
    assert (found.mask != expected).mean() < 0.06
    assert (found.mask[5:20, 5:38] == 1).all() and (found.mask[5:18, 55:] == 0).all()
    assert (found.mask[34:, 55:] == 3).all()
    assert list(found.areas()) == ["red", "blue", "none"]
    assert found.scores is not None and found.scores[5, 5] > 0.99


def test_masks_and_logits_of_torch_are_met(make: Make, tmp_path: Path) -> None:
    from tests.pipelines.torchvision_golden import PATH

    with np.load(PATH) as file:
        logits, mask, scores = file["logits_in"], file["mask"], file["mask_scores"]
    network = networks.fixed_outputs(tmp_path / "fixed.onnx", (36, 28), out=logits[None])
    found = make(network, "segment")(np.zeros((31, 45, 3), np.uint8))
    np.testing.assert_array_equal(found.mask, mask)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_a_mask_of_the_network_is_brought_to_the_picture(make: Make, tmp_path: Path) -> None:
    mask = np.array([[[0, 1], [2, 1]]], np.int64)
    segment = make(networks.fixed_outputs(tmp_path / "m.onnx", (8, 8), mask=mask), "segment", ["a", "b", "c"])
    found = segment(np.zeros((10, 6, 3), np.uint8))
    np.testing.assert_array_equal(found.mask, mask[0].repeat(5, 0).repeat(3, 1))
    assert found.scores is None
    assert found.areas() == {"b": 0.5, "a": 0.25, "c": 0.25}


def test_a_mask_with_one_channel_has_a_threshold(make: Make, tmp_path: Path) -> None:
    logits = np.array([[[[-2.0, 0.2], [2.0, 0.4]]]], np.float32)
    segment = make(networks.fixed_outputs(tmp_path / "one.onnx", (2, 2), out=logits), "segment", ["no", "yes"])
    black = np.zeros((2, 2, 3), np.uint8)
    assert segment(black).mask.tolist() == [[0, 1], [1, 1]]
    found = segment(black, score=0.58)
    assert found.mask.tolist() == [[0, 0], [1, 1]]
    np.testing.assert_allclose(found.scores[1], 1 / (1 + np.exp([-2.0, -0.4])), rtol=1e-5)


BOXES = np.array([[10, 10, 30, 30], [11, 10, 31, 30], [10, 10, 30, 30], [40, 4, 60, 20]], np.float32)


def test_decoded_boxes_come_back_in_pixels_of_the_picture(make: Make, tmp_path: Path) -> None:
    network = networks.fixed_outputs(
        tmp_path / "d.onnx",
        (32, 64),
        boxes=BOXES,
        scores=np.array([0.9, 0.8, 0.7, 0.4], np.float32),
        labels=np.array([1, 1, 2, 2], np.int64),
    )
    detect = make(network, "detect", ["nothing", "cat", "dog"])
    found = detect(np.zeros((64, 64, 3), np.uint8))
    assert isinstance(found, edgesr.Detections)
    np.testing.assert_allclose(found.xyxy, BOXES[:3] * (1, 2, 1, 2))
    assert found.conf.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert found.cls.tolist() == [1, 1, 2]
    assert found.predictions()["boxes"][2]["name"] == "dog"
    assert len(detect(np.zeros((64, 64, 3), np.uint8), score=0.3, nms=0.5)) == 3
    assert len(detect(np.zeros((64, 64, 3), np.uint8), score=0.95)) == 0


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("objectness", [False, True])
def test_yolo_predictions_are_decoded(make: Make, tmp_path: Path, transposed: bool, objectness: bool) -> None:
    centres = np.concatenate([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]], 1)
    scores = np.array([[0.9, 0.1], [0.8, 0.1], [0.1, 0.7], [0.1, 0.2]], np.float32)
    parts = [centres, np.full((4, 1), 0.5, np.float32), scores] if objectness else [centres, scores]
    rows = np.concatenate(parts, 1).astype(np.float32)
    output = np.concatenate([rows, np.zeros((20, rows.shape[1]), np.float32)])
    network = networks.fixed_outputs(
        tmp_path / "y.onnx", (64, 64), out=(output if transposed else output.T)[None].copy()
    )
    detect = make(network, "detect", ["cat", "dog"])
    found = detect(np.zeros((32, 64, 3), np.uint8))
    # 64 x 32 lies in 64 x 64 with 16 filled rows above and below.
    expected = np.clip(BOXES - (0, 16, 0, 16), 0, (64, 32, 64, 32))
    assert found.cls.tolist() == [0, 1]
    np.testing.assert_allclose(found.xyxy, expected[[0, 2]], atol=1e-4)
    assert found.conf.tolist() == pytest.approx([0.45, 0.35] if objectness else [0.9, 0.7])
    assert len(detect(np.zeros((32, 64, 3), np.uint8), nms=1.0)) == 3


def test_relative_boxes_with_a_background_are_decoded(make: Make, tmp_path: Path) -> None:
    scores = np.array([[[0.1, 0.9], [0.2, 0.8], [0.05, 0.95], [0.9, 0.1]]], np.float32)
    boxes = (BOXES / (64, 32, 64, 32)).astype(np.float32)[None]
    network = networks.fixed_outputs(tmp_path / "ssd.onnx", (32, 64), boxes=boxes, scores=scores)
    found = make(network, "detect", ["background", "face"])(np.zeros((64, 128, 3), np.uint8))
    assert found.conf.tolist() == pytest.approx([0.95])
    np.testing.assert_allclose(found.xyxy, BOXES[2:3] * 2, rtol=1e-5)
    assert found.name(int(found.cls[0])) == "face"


def test_a_chain_labels_what_was_restored(make: Make, make_restorer: Any, tmp_path: Path) -> None:
    restorer = make_restorer(channels=3, color="rgb")
    make(networks.color_segmenter(tmp_path / "s.onnx", stride=1), "segment", ["none", *RGB]).close()
    task = open_model(tmp_path / "s.edgesr")
    write_chain(tmp_path / "both.edgesr", restorer.package, task, name="both", version="1")
    picture = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)
    large = restorer(picture)
    with load(tmp_path / "s.edgesr", "cpu", threads=1) as alone:
        expected = alone(large)
    for name in (tmp_path / "both.edgesr", f"{restorer.package.path}+{tmp_path / 's.edgesr'}"):
        with load(name, "cpu", threads=1) as chain:
            assert isinstance(chain, edgesr.Chain)
            found = chain(picture)
            np.testing.assert_array_equal(found.picture, large)
            np.testing.assert_array_equal(found.mask, expected.mask)
            assert found.timings["total"] >= found.timings["restore"] > 0
            assert found.document()["restore"]["scale"] == 2
            np.testing.assert_array_equal(chain.submit(picture).result().mask, expected.mask)


def test_overlays_show_what_was_found_and_can_be_read_on_small_pictures(make: Make, tmp_path: Path) -> None:
    classify = make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB)
    found = classify(flat((200, 30, 30)))
    drawn = found.overlay()
    assert (drawn.dtype, drawn.shape[2]) == (np.uint8, 3)
    assert min(drawn.shape[:2]) >= LEAST_SIDE
    assert (drawn.max(axis=2) > 240).any()
    assert (drawn[-1, -1] == (200, 30, 30)).all()
    assert found.save(tmp_path / "o.png").is_file()
    with pytest.raises(InputError, match="give a suffix"):
        found.save(tmp_path / "o")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score": 0.5}, "task classify and no option 'score'"),
        ({"top_k": 0}, "top_k must be a whole number from 1, got 0"),
        ({"top_k": True}, "top_k must be a whole number"),
        ({"topk": 3}, "did you mean 'top_k'"),
    ],
    ids=range(4),
)
def test_wrong_thresholds_are_refused(make: Make, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    classify = make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB)
    with pytest.raises(UsageError, match=message):
        classify(flat((0, 0, 0)), **given)
    with pytest.raises(UsageError, match=message):
        load(tmp_path / "c.edgesr", "cpu", **given)


def test_a_picture_below_the_minimum_is_refused(make: Make, tmp_path: Path) -> None:
    segment = make(networks.color_segmenter(tmp_path / "s.onnx"), "segment", size={"minimum": 32})
    with pytest.raises(InputError, match=r"a picture of 40 x 31 is too small for model s, which needs 32 x 32"):
        segment(np.zeros((31, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("classify", ["a", "b"], "has 3 classes, --labels names 2"),
        ("classify", [*RGB, "more"], "has 3 classes, --labels names 4"),
        ("segment", RGB, r"the output logits \[1, 3\] is not one plane for each class"),
        ("detect", RGB, "--labels names 3"),
    ],
    ids=range(4),
)
def test_labels_that_do_not_fit_are_refused(
    make: Make, tmp_path: Path, task: str, labels: list[str], message: str
) -> None:
    with pytest.raises((ModelError, UsageError), match=message):
        make(networks.color_classifier(tmp_path / "c.onnx"), task, labels)
    assert not (tmp_path / "c.edgesr").exists()


def test_tiles_are_refused_and_two_restorations_are_no_chain(make: Make, make_restorer: Any, tmp_path: Path) -> None:
    make(networks.color_classifier(tmp_path / "c.onnx"), "classify", RGB)
    with pytest.raises(UsageError, match="tile is for restoration; model c has task classify"):
        load(tmp_path / "c.edgesr", "cpu", tile=64)
    restorer = make_restorer(channels=3, color="rgb")
    with pytest.raises(ModelError, match="the second model of a chain must have task classify, segment, detect"):
        load(f"{restorer.package.path}+{restorer.package.path}", "cpu")
    with pytest.raises(ModelError, match="the first model of a chain must make pictures; c has task classify"):
        load(f"{tmp_path / 'c.edgesr'}+{tmp_path / 'c.edgesr'}", "cpu")
    with pytest.raises(UsageError, match=r"must be RESTORATION\+TASK"):
        load("a+", "cpu")
