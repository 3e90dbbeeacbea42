"""Classifiers: ResNet and FastViT, from checkpoint to scores."""

from __future__ import annotations

import re
from argparse import Namespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from PIL import Image  # noqa: E402
from torchvision.transforms._presets import ImageClassification  # noqa: E402

import edgesr  # noqa: E402
import export  # noqa: E402
from edgesr.errors import ModelError, UsageError  # noqa: E402
from edgesr.model.package import open_package  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.families import classifier  # noqa: E402
from tests.export.seeded import parameters, seeded  # noqa: E402
from tests.export.task_checkpoints import lines, photo, varied  # noqa: E402


@pytest.fixture(scope="module")
def resnet50():
    network = torchvision.models.resnet50(num_classes=7)
    return varied(network, network.fc, 4.0)


@pytest.fixture(scope="module")
def folder(resnet50, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    torch.save({"state_dict_ema": {f"module.{k}": v for k, v in resnet50.state_dict().items()}}, folder / "w.pth")
    words = ["--weights", str(folder / "w.pth"), "-o", str(folder / "groups.edgesr"), "--target", "trt10"]
    assert main(["classifier", *words, "--labels", lines(folder / "groups.txt", 7), "--classes", "7"]) == 0
    return folder


@pytest.fixture(scope="module")
def classify(folder):
    with edgesr.load(folder / "groups.edgesr", device="cpu") as pipeline:
        yield pipeline


def test_a_resnet50_of_seven_groups_is_described_by_its_weights_and_labels(folder) -> None:
    described = open_package(folder / "groups.edgesr").descriptor
    assert (described.task, described.size.fixed, described.input.crop) == ("classify", (224, 224), (224, 224))
    assert described.input.mean == pytest.approx((0.485, 0.456, 0.406))
    assert described.labels == tuple(f"class {i}" for i in range(7))
    assert described.description == "resnet50 classifier of 7 classes, 23,522,375 parameters."
    rows = [row for row in described.quality if row["output"] == "logits"]
    assert len(rows) == 2
    assert all(row["relative"] < 1e-4 for row in rows)


@pytest.mark.parametrize("size", [(224, 224), (300, 421), (56, 56)])
def test_scores_are_torchvisions_for_any_picture(resnet50, classify, size) -> None:
    picture = photo(*size)
    with torch.inference_mode():
        values = ImageClassification(crop_size=224, resize_size=256)(Image.fromarray(picture))
        expected = resnet50(values[None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(classify(picture).scores, expected, atol=1e-5)
    assert expected.max() > 0.3


def test_the_two_head_layouts_and_depths_are_recognised() -> None:
    for name, classes in (("resnet18", 196), ("resnet34", 4), ("resnet101", 3)):
        with torch.device("meta"):
            state = torchvision.models.get_model(name, num_classes=classes).state_dict()
        assert classifier.recognised(state, "w.pth") == name
        assert classifier.count_classes(state, "w.pth") == classes


@pytest.mark.parametrize("head", ["fc", "head.fc"])
def test_a_last_layer_behind_a_dropout_is_the_last_layer(head) -> None:
    state = {f"{head}.1.weight": torch.zeros(7, 4), f"{head}.1.bias": torch.zeros(7), "conv1.weight": torch.zeros(1)}
    plain = classifier.with_plain_head(state, "w.pth")
    assert set(plain) == {f"{head}.weight", f"{head}.bias", "conv1.weight"}
    assert classifier.count_classes(plain, "w.pth") == 7
    assert classifier.with_plain_head(plain, "w.pth") == plain


def test_a_head_of_several_layers_is_refused_with_what_to_do() -> None:
    state = {"fc.0.weight": torch.zeros(256, 2048), "fc.3.weight": torch.zeros(7, 256)}
    with pytest.raises(ModelError, match=r"several layers \(fc\.0, fc\.3\).*export\.package_labels"):
        classifier.with_plain_head(state, "w.pth")


def test_sr4irs_training_checkpoint_of_a_resnet18_becomes_a_package(tmp_path) -> None:
    network = seeded(torchvision.models.resnet18(num_classes=196))
    checkpoint = {"epoch": 3, "net_sr": {"head.0.weight": torch.zeros(1)}, "net_cls": network.state_dict()}
    torch.save(checkpoint, tmp_path / "checkpoint_latest.pth")
    words = ["--weights", str(tmp_path / "checkpoint_latest.pth"), "-o", str(tmp_path / "cars.edgesr")]
    assert main(["resnet18", *words, "--target", "any", "--resize", "exact:64x64"]) == 0
    with edgesr.load(tmp_path / "cars.edgesr", device="cpu") as classify:
        assert classify(photo(256, 256)).scores.shape == (196,)


def test_a_fastvit_of_four_groups_is_recognised_and_its_package_equals_it(tmp_path, capsys) -> None:
    timm = pytest.importorskip("timm")
    network = seeded(timm.create_model("fastvit_t8", num_classes=4))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    words = ["--weights", str(tmp_path / "w.pth"), "-o", str(tmp_path / "race.edgesr"), "--target", "trt10"]
    assert main(["classifier", *words, "--labels", lines(tmp_path / "names.txt", 4), "--resize", "exact:64x64"]) == 0
    said = capsys.readouterr().err
    count = int(re.search(r"fastvit_t8 classifier of 4 classes, ([\d,]+) parameters", said)[1].replace(",", ""))
    assert count < parameters(network)  # its branches are merged
    picture = photo(64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        values = (torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255 - mean) / std
        expected = network(values[None]).softmax(1)[0].numpy()
    with edgesr.load(tmp_path / "race.edgesr", device="cpu") as classify:
        np.testing.assert_allclose(classify(picture).scores, expected, atol=1e-3)


def test_weights_of_a_fastvit_that_was_merged_before_are_taken_as_they_are() -> None:
    timm = pytest.importorskip("timm")
    network = classifier.reparameterized(seeded(timm.create_model("fastvit_t8", num_classes=4)))
    again = classifier.build(network.state_dict(), Namespace(encoder="fastvit_t8"), "merged.pth").network
    with torch.inference_mode():
        torch.testing.assert_close(again(torch.ones(1, 3, 64, 64)), network(torch.ones(1, 3, 64, 64)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer3.0.conv1.weight"), r"1 missing \(layer3\.0\.conv1\.weight\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"resnet50 of 7 classes: 1 unknown \(extra\)"),
        (lambda s: s.pop("fc.weight"), "no weights of a classifier: none of fc.weight"),
        (lambda s: s.update({"bn1.bias": torch.zeros(9)}), r"bn1\.bias: \[9\] instead of \[64\]"),
    ],
)
def test_weights_of_another_network_name_the_keys_that_differ(resnet50, change, message) -> None:
    state = dict(resnet50.state_dict())
    change(state)
    with pytest.raises(ModelError, match=message):
        classifier.build(state, None, "w.pth")


def test_networks_that_are_not_known_are_asked_for(resnet50) -> None:
    with pytest.raises(ModelError, match="no weights of a classifier resnet18 of 7 classes: "):
        classifier.build(resnet50.state_dict(), Namespace(encoder="resnet18"), "w.pth")
    with pytest.raises(UsageError, match="neither a ResNet nor a FastViT is recognised; give its name in timm"):
        classifier.build({"head.weight": torch.zeros(3, 4)}, None, "w.pth")
    pytest.importorskip("timm")
    with pytest.raises(UsageError, match="--encoder vgg99: Unknown model"):
        classifier.build(resnet50.state_dict(), Namespace(encoder="vgg99"), "w.pth")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "4"], "--classes 4: the weights have 7 classes"),
        (["--labels"], "--labels names 3 classes, the weights have 7; one line for each, in order"),
        (["--resize", "square:3"], "--resize 'square:3': expected short-side:256"),
    ],
)
def test_another_number_of_classes_is_refused(folder, tmp_path, capsys, words, message) -> None:
    words = [*words, lines(tmp_path / "three.txt", 3)] if words == ["--labels"] else words
    out = tmp_path / "x.edgesr"
    assert main(["classifier", "--weights", str(folder / "w.pth"), "-o", str(out), *words]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not out.exists()


class Code:
    """What a checkpoint must not hold."""


def test_checkpoints_that_hold_code_are_not_run(tmp_path, capsys) -> None:
    torch.save({"model": Code()}, tmp_path / "w.pth")
    words = ["--weights", str(tmp_path / "w.pth"), "-o", str(tmp_path / "x.edgesr")]
    assert main(["classifier", *words]) == 3
    assert re.search(r"w\.pth: it holds code \(.*\.Code\), which is not run", capsys.readouterr().err)


def test_networks_of_ones_own_are_packed_by_the_same_call(resnet50, tmp_path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    said = {"input": {"color": "grey", "resize": {"rule": "exact", "size": [32, 32]}}, "labels": list("abcde")}
    package = export.package_labels(seeded(network), tmp_path / "grey.edgesr", "classify", said, target="trt10")
    assert (package.descriptor.input_channels, package.descriptor.size.fixed) == (1, (32, 32))
    with pytest.raises(UsageError, match=r"BatchNorm2d 'bn1' is in training mode; call network\.eval\(\)"):
        export.package_labels(torchvision.models.resnet18(num_classes=2), tmp_path / "x.edgesr", "classify")
    with pytest.raises(ModelError, match=r"task segment must give \(N, classes, h, w\), got \[1, 7\]"):
        export.package_labels(resnet50, tmp_path / "x.edgesr", "segment")
