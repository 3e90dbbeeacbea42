"""Preparation, suppression and results against what torchvision itself gave (torchvision_golden.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgesr.image.resize import resize
from edgesr.model import ModelDescriptor, Part, Prediction, Preprocessing, Resize, SizeRequirements
from edgesr.pipelines.activation import activated
from edgesr.pipelines.nms import nms, nms_by_class
from edgesr.pipelines.prepare import prepare
from tests.pipelines import torchvision_golden as golden


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    with np.load(golden.PATH) as file:
        return dict(file)


def descriptor(task: str, resize: Resize, crop: tuple[int, int] | None = None, multiple: int = 1) -> ModelDescriptor:
    outputs = {"classify": ("logits",), "segment": ("logits",), "detect": ("boxes", "scores", "labels")}[task]
    made = ModelDescriptor(
        name="golden",
        version="1",
        task=task,
        parts={"network": Part("network.onnx", "0" * 64, {"image": "x"}, {role: role for role in outputs})},
        input=Preprocessing(resize=resize, crop=crop, mean=tuple(golden.MEAN), std=tuple(golden.STD)),
        size=SizeRequirements(multiple=multiple),
        prediction=Prediction(),
    )
    return ModelDescriptor.from_json(made.to_json(), source="golden")


@pytest.mark.parametrize("index", range(len(golden.PRESETS)))
def test_classification_presets_are_met(given: dict[str, np.ndarray], index: int) -> None:
    case = golden.PRESETS[index]
    rule = Resize("short-side", (case["short"],), interpolation=case["interpolation"])
    asked = descriptor("classify", rule, (case["crop"],) * 2)
    values, _ = prepare(asked, given[f"preset{index}_in"])
    np.testing.assert_allclose(values.transpose(2, 0, 1), given[f"preset{index}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("index", range(len(golden.SEGMENTATION)))
def test_segmentation_presets_are_met(given: dict[str, np.ndarray], index: int) -> None:
    asked = descriptor("segment", Resize("short-side", (golden.SEGMENTATION[index]["short"],)))
    values, _ = prepare(asked, given[f"segmentation{index}_in"])
    np.testing.assert_allclose(values.transpose(2, 0, 1), given[f"segmentation{index}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("index", range(len(golden.DETECTION)))
def test_the_transform_of_detection_models_is_met_there_and_back(given: dict[str, np.ndarray], index: int) -> None:
    case = golden.DETECTION[index]
    rule = Resize("fit", (case["short"],), case["longest"], antialias=False)
    values, placement = prepare(descriptor("detect", rule, multiple=case["multiple"]), given[f"detection{index}_in"])
    np.testing.assert_allclose(values.transpose(2, 0, 1), given[f"detection{index}"], rtol=0, atol=3e-5)
    back = np.array([a / b for a, b in zip(placement.picture[::-1], placement.resized[::-1], strict=True)] * 2)
    expected = given[f"detection{index}_boxes"]
    np.testing.assert_allclose(given[f"detection{index}_boxes_in"] * back, expected, rtol=1e-6)


@pytest.mark.parametrize("index", range(len(golden.PLAIN)))
def test_floats_are_resized_as_torch_does(given: dict[str, np.ndarray], index: int) -> None:
    case: dict[str, Any] = golden.PLAIN[index]
    values = resize(
        given[f"plain{index}_in"], *case["exact"], interpolation=case["interpolation"], antialias=case["antialias"]
    )
    np.testing.assert_allclose(values.transpose(2, 0, 1), given[f"plain{index}"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", golden.THRESHOLDS)
def test_the_same_boxes_survive(given: dict[str, np.ndarray], seed: int, threshold: float) -> None:
    xyxy, conf, cls = (given[f"nms{seed}_{name}"] for name in ("xyxy", "conf", "cls"))
    assert nms(xyxy, conf, threshold).tolist() == given[f"nms{seed}_{threshold}"].tolist()
    by_class = given[f"nms{seed}_{threshold}_by_class"]
    kept = nms_by_class(xyxy, conf, cls, threshold)
    # torchvision sorts the survivors of all classes unstably: those of equal score come in any order.
    assert sorted(kept) == sorted(by_class)
    np.testing.assert_array_equal(conf[kept], conf[by_class])


def test_no_box_survives_of_none() -> None:
    nothing = np.empty((0, 4), np.float32), np.empty(0, np.float32)
    assert nms(*nothing, 0.5).tolist() == nms_by_class(*nothing, np.empty(0, np.int64), 0.5).tolist() == []


def test_softmax_is_torchs(given: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(activated(given["logits_in"][:, 0, 0], "softmax", axis=0), given["softmax"], rtol=2e-6)
