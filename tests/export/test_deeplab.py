"""DeepLabV3: from checkpoint to masks, with torchvision's numbers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

import edgesr  # noqa: E402
from edgesr.errors import ModelError  # noqa: E402
from edgesr.model.package import open_package  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.families import deeplab as deeplab_family  # noqa: E402
from tests.export.task_checkpoints import lines, photo, varied  # noqa: E402


@pytest.fixture(scope="module")
def deeplab():
    network = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    return varied(network, network.classifier[4], 4.0)


@pytest.fixture(scope="module")
def folder(deeplab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deeplab")
    torch.save({"net_sr": {"a": torch.zeros(1)}, "net_seg": deeplab.state_dict()}, folder / "checkpoint_latest.pth")
    words = ["--weights", str(folder / "checkpoint_latest.pth"), "-o", str(folder / "voc.edgesr"), "--target", "trt10"]
    assert main(["deeplabv3", *words, "--labels", lines(folder / "voc.txt", 21), "--resize", "none"]) == 0
    return folder


@pytest.fixture(scope="module")
def segment(folder):
    with edgesr.load(folder / "voc.edgesr", device="cpu") as pipeline:
        yield pipeline


def test_the_package_takes_any_size_and_keeps_its_parity_at_two(folder) -> None:
    described = open_package(folder / "voc.edgesr").descriptor
    assert (described.task, described.size.fixed, described.input.resize) == ("segment", None, None)
    assert len({tuple(row["size"]) for row in described.quality}) == 2


@pytest.mark.parametrize("size", [(128, 160), (97, 131), (9, 17)])
def test_masks_of_the_pictures_size_are_torchvisions(deeplab, segment, size) -> None:
    picture = photo(*size)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    values = (torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255 - mean) / std
    with torch.inference_mode():
        logits = deeplab(values[None])["out"]
    expected = logits.argmax(1)[0].numpy()
    found = segment(picture)
    assert found.mask.shape == size
    best = logits.softmax(1).amax(1)[0].numpy()
    np.testing.assert_allclose(found.scores, best, atol=1e-4)
    differing = found.mask != expected
    two = logits.topk(2, 1).values[0].numpy()
    assert (two[0] - two[1])[differing].max(initial=0) < 1e-3  # only where two classes are as good
    assert differing.mean() < 1e-3
    assert size == (9, 17) or len(np.unique(expected)) > 1


def test_weights_of_other_networks_are_told_apart(deeplab) -> None:
    state = {k: v for k, v in deeplab.state_dict().items() if not k.startswith("aux_")}
    assert deeplab_family.build(state, None, "w.pth").title == "DeepLabV3-MobileNetV3-Large of 21 classes"
    del state["classifier.0.convs.4.1.weight"]
    with pytest.raises(ModelError, match=r"Large: 1 missing \(classifier\.0\.convs\.4\.1\.weight\)"):
        deeplab_family.build(state, None, "w.pth")
    with pytest.raises(ModelError, match=r"classifier\.4\.weight is missing, the file has 1 keys"):
        deeplab_family.build({"fc.weight": torch.zeros(2, 2)}, None, "w.pth")
