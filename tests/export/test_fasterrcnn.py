"""Faster R-CNN in two parts: torchvision's own boxes, with thresholds that can be set."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from torchvision.extension import _has_ops  # noqa: E402

if not _has_ops():
    pytest.skip("this torchvision was built for another PyTorch and has no operators", allow_module_level=True)

import edgesr  # noqa: E402
from edgesr.errors import ModelError, UsageError  # noqa: E402
from edgesr.model.package import open_package  # noqa: E402
from edgesr.pipelines.proposals import anchors, nms_in_groups  # noqa: E402
from edgesr.pipelines.roi_align import roi_align  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.families import fasterrcnn  # noqa: E402
from export.models.fasterrcnn import make_detector  # noqa: E402
from tests.export.seeded import seeded  # noqa: E402
from tests.export.task_checkpoints import lines, photo  # noqa: E402

SIDES = (96, 192)
"""Shorter and longest side that pictures are brought to; torchvision's own are 800 and 1333."""


@pytest.fixture(scope="module")
def detector():
    network = seeded(make_detector(21))
    heads = network.roi_heads.box_predictor
    with torch.no_grad():
        heads.cls_score.weight.mul_(6)
        heads.bbox_pred.weight.mul_(0.5)
        network.rpn.head.cls_logits.weight.mul_(3)
    network.transform.min_size, network.transform.max_size = SIDES[:1], SIDES[1]
    return network


@pytest.fixture(scope="module")
def folder(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fasterrcnn")
    checkpoint = {"epoch": 9, "net_sr": {"a": torch.zeros(1)}, "net_det": detector.state_dict()}
    torch.save(checkpoint, folder / "checkpoint_latest.pth")
    words = ["--weights", str(folder / "checkpoint_latest.pth"), "-o", str(folder / "voc.edgesr"), "--target", "trt10"]
    words += ["--labels", lines(folder / "voc.txt", 21), "--resize", f"fit:{SIDES[0]},{SIDES[1]}"]
    assert main(["fasterrcnn", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def detect(folder):
    with edgesr.load(folder / "voc.edgesr", device="cpu") as pipeline:
        yield pipeline


def expected_boxes(network, picture, score=None, nms=None):
    heads = network.roi_heads
    usual = heads.score_thresh, heads.nms_thresh
    heads.score_thresh, heads.nms_thresh = usual[0] if score is None else score, usual[1] if nms is None else nms
    try:
        with torch.inference_mode():
            found = network([torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255])[0]
    finally:
        heads.score_thresh, heads.nms_thresh = usual
    return {name: tensor.numpy() for name, tensor in found.items()}


def test_the_package_holds_two_networks_and_what_stands_between_them(folder) -> None:
    described = open_package(folder / "voc.edgesr").descriptor
    assert set(described.parts) == {"network", "regions"}
    between = described.prediction.proposals
    assert (between.strides, between.nms, between.score, between.most) == ((32, 32, 64), 0.7, 0.05, 1000)
    assert [len(level) for level in between.anchors] == [15, 15, 15]
    assert (described.prediction.score, described.prediction.nms, described.prediction.most) == (0.05, 0.5, 100)
    rows = {row["output"]: row for row in described.quality}
    assert rows.keys() == {"features", "objectness", "deltas", "logits", "boxes"}
    assert rows["boxes"]["boxes"] >= 50
    assert rows["boxes"]["missing"] <= 1


@pytest.mark.parametrize("size", [(120, 160), (131, 97)])
def test_boxes_are_torchvisions(detector, detect, size) -> None:
    picture = photo(*size)
    expected = expected_boxes(detector, picture)
    found = detect(picture)
    assert len(found) == len(expected["scores"]) > 20
    np.testing.assert_allclose(found.conf, expected["scores"], atol=1e-4)
    order, others = (np.lexsort((conf.round(3), cls)) for conf, cls in (
        (found.conf, found.cls), (expected["scores"], expected["labels"])
    ))  # fmt: skip
    close = np.abs(found.xyxy[order] - expected["boxes"][others]).max(axis=1) < 0.01
    assert close.mean() > 0.9  # scores that round alike may be listed in another order
    for box, cls in zip(expected["boxes"], expected["labels"], strict=True):
        apart = np.abs(found.xyxy - box).max(axis=1)
        assert apart[found.cls == cls].min() < 0.01


def test_thresholds_are_set_when_it_runs(detector, detect) -> None:
    picture = photo(120, 160)
    usual = detect(picture)
    high = float(np.sort(usual.conf)[-5:-3].mean())
    few = detect(picture, score=high)
    alone = detect(picture, nms=0.05)
    assert len(few) == len(expected_boxes(detector, picture, score=high)["scores"]) == 4
    assert len(alone) == len(expected_boxes(detector, picture, nms=0.05)["scores"]) < len(usual) + 1
    assert usual.timings["infer"] > 0


def test_features_of_regions_are_torchvisions() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 8, 13, 21, generator=generator)
    boxes = torch.rand(40, 4, generator=generator) * torch.tensor([672.0, 416, 300, 200])
    boxes[:, 2:] += boxes[:, :2]
    boxes[0], boxes[1] = torch.tensor([5.0, 5, 5, 5]), torch.tensor([-90.0, -90, 700, 500])
    expected = torchvision.ops.roi_align(features, [boxes], 7, 1 / 32, 2).numpy()
    got = roi_align(features[0].numpy(), boxes.numpy(), stride=32, pooled=7, samples=2)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_anchors_and_suppression_are_torchvisions() -> None:
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList

    make = AnchorGenerator(((32, 64),), ((0.5, 1.0, 2.0),))
    image, feature = torch.zeros(1, 3, 96, 160), torch.zeros(1, 1, 2, 3)
    expected = make(ImageList(image, [(96, 160)]), [feature])[0].numpy()
    cell = tuple(tuple(box) for box in make.cell_anchors[0].tolist())
    np.testing.assert_array_equal(anchors(cell, (96, 160), 64), expected)
    generator = torch.Generator().manual_seed(0)
    for count in (300, 1500):
        boxes = torch.rand(count, 4, generator=generator) * 50
        boxes[:, 2:] += boxes[:, :2]
        scores, groups = torch.rand(count, generator=generator), torch.randint(0, 4, (count,), generator=generator)
        kept = torchvision.ops.batched_nms(boxes, scores, groups, 0.5).numpy()
        np.testing.assert_array_equal(nms_in_groups(boxes.numpy(), scores.numpy(), groups.numpy(), 0.5), kept)


def test_older_layouts_and_frozen_batch_norm_are_recognised_and_other_weights_refused(detector) -> None:
    state = {name: t for name, t in detector.state_dict().items() if not name.endswith("num_batches_tracked")}
    older = {
        name.replace("rpn.head.conv.0.0.", "rpn.head.conv.").replace("_blocks.0.0.", "_blocks.0."): tensor
        for name, tensor in state.items()
    }
    assert older.keys() != state.keys()
    built = fasterrcnn.build(older, None, "old.pth")
    assert built.title == "Faster R-CNN MobileNetV3-Large FPN of 21 classes"
    torch.testing.assert_close(built.network.rpn.head.conv[0][0].weight, detector.rpn.head.conv[0][0].weight)
    del state["roi_heads.box_head.fc6.bias"]
    with pytest.raises(ModelError, match=r"pyramid: 1 missing \(roi_heads\.box_head\.fc6\.bias\)"):
        fasterrcnn.build(state, None, "w.pth")


def test_networks_in_training_mode_and_sides_that_do_not_fit_are_refused(tmp_path) -> None:
    from export.exporting.regions import package_regions

    whole, out = make_detector(3), tmp_path / "x.edgesr"
    asked = {"classes": None, "target": "any", "say": lambda text: None}
    with pytest.raises(UsageError, match=r"is in training mode; call network\.eval\(\)"):
        package_regions(whole, out, {}, **asked)
    exact = {"input": {"resize": {"rule": "exact", "size": [100, 100], "antialias": False}}}
    with pytest.raises(UsageError, match="--resize: sides must be multiples of 32, got 100x100"):
        package_regions(whole.eval(), out, exact, **asked)
    with pytest.raises(UsageError, match="--classes 4: the weights have 3 classes"):
        package_regions(whole, out, {}, **{**asked, "classes": 4})
    assert not out.exists()
