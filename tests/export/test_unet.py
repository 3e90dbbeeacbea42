"""U-Net upscalers on encoders of timm."""

from __future__ import annotations

from argparse import Namespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("timm")

from edgesr.errors import ModelError, UsageError  # noqa: E402
from edgesr.model.package import open_package  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.exporting.parity import read_picture  # noqa: E402
from export.families import unet  # noqa: E402
from export.models.unet import UNet  # noqa: E402
from tests.export.seeded import parameters, seeded  # noqa: E402


def test_the_network_on_resnet50_has_the_papers_size() -> None:
    with torch.device("meta"):
        network = UNet("resnet50")
    assert parameters(network) == pytest.approx(42.8e6, rel=5e-3)


def test_fastvit_is_reparameterized_without_a_change_of_its_result() -> None:
    network = seeded(UNet("fastvit_t8", 2, (32, 16, 8)))
    built = unet.build(network.state_dict(), Namespace(encoder="fastvit_t8", tile="56"), "w.pth")
    assert parameters(built.network) < parameters(network)
    assert (built.size, built.network.scale) == ((56, 56), 2)
    face = read_picture("astronaut.png", (56, 56), 3)
    with torch.inference_mode():
        torch.testing.assert_close(built.network(face), network(face), atol=1e-3, rtol=1e-3)


def test_weights_on_another_encoder_and_unknown_encoders_are_refused() -> None:
    with torch.device("meta"):
        state = UNet("resnet18", 2, (32, 16, 8, 8)).state_dict()
    with pytest.raises(ModelError, match=r"no weights of a U-Net on resnet34: \d+ missing"):
        unet.build(state, Namespace(encoder="resnet34"), "w.pth")
    with pytest.raises(UsageError, match="--encoder vgg99: Unknown model"):
        unet.build(state, Namespace(encoder="vgg99"), "w.pth")


def test_a_u_net_for_faces_of_56_pixels_becomes_a_package(tmp_path) -> None:
    torch.save(seeded(UNet("resnet18", 2, (32, 16, 8, 8))).state_dict(), tmp_path / "w.pth")
    words = ["--weights", str(tmp_path / "w.pth"), "-o", str(tmp_path / "face.edgesr"), "--encoder", "resnet18"]
    assert main(["unet", *words, "--target", "trt10"]) == 0
    described = open_package(tmp_path / "face.edgesr").descriptor
    assert (described.scale, described.size.fixed) == (2, (56, 56))
