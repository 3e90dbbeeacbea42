"""Restoration families at the papers' sizes: parameters, published layouts, and a package that edgesr runs."""

from __future__ import annotations

import re
from argparse import Namespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("PIL")

import edgesr  # noqa: E402
from edgesr.model.package import open_package  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.exporting.parity import read_picture  # noqa: E402
from export.families import edsr, prior_fsr, rrdb, swinir  # noqa: E402
from export.models.edsr import MEAN, Edsr  # noqa: E402
from export.models.imdn import Imdn  # noqa: E402
from export.models.prior_fsr import PriorFsr  # noqa: E402
from export.models.rlfn import Rlfn  # noqa: E402
from export.models.rrdb import Rrdb  # noqa: E402
from export.models.swinir import SwinIr, swinir_classical, swinir_light  # noqa: E402
from tests.export.seeded import parameters, seeded  # noqa: E402


def test_networks_have_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        counts = [parameters(network) for network in (Edsr(4), Edsr(8), Rrdb(2), Rrdb(10), Rrdb(15))]
        transformers = [parameters(build(scale)) for build in (swinir_light, swinir_classical) for scale in (4, 8)]
        assert parameters(PriorFsr()) == pytest.approx(3.94e6, rel=3e-3)
    assert counts == [1_517_571, 1_665_283, 1_590_083, 7_345_475, 10_942_595]
    assert transformers == [929_628, 1_007_532, 11_900_199, 12_047_911]


def esrgan(name: str) -> str:
    """Rename a key of BasicSR to that of ESRGAN's repository."""
    name = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
    return name.replace("conv_body", "trunk_conv").replace("conv_up", "upconv").replace("conv_hr", "HRconv")


def first_release(name: str) -> str:
    """Rename a key of BasicSR to that of the numbered layers of ESRGAN's first release."""
    name = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
    for key, layer in (("conv_first", "0"), ("conv_body", "1.sub.2"), ("conv_up1", "3"), ("conv_up2", "6")):
        name = name.replace(key, f"model.{layer}")
    return name.replace("conv_hr", "model.8").replace("conv_last", "model.10")


@pytest.mark.parametrize("rename", [str, esrgan, first_release])
def test_rrdb_loads_in_every_published_layout(rename) -> None:
    network = seeded(Rrdb(2, channels=16, growth=8))
    state = {rename(name): t for name, t in network.state_dict().items()}
    built = rrdb.build(state, Namespace(), "w.pth")
    assert built.title == "RRDB generator with 2 blocks, x4"
    assert all(torch.equal(t, built.network.state_dict()[name]) for name, t in network.state_dict().items())


@pytest.mark.parametrize(("scale", "shuffle"), [(4, 1), (2, 2), (1, 4), (8, 1)])
def test_rrdb_equals_spandrels(scale: int, shuffle: int) -> None:
    spandrel = pytest.importorskip("spandrel")
    network = seeded(Rrdb(1, scale, channels=16, shuffle=shuffle))
    theirs = spandrel.ModelLoader().load_from_state_dict(network.state_dict())
    image = read_picture("astronaut.png", (32, 24), 3)
    assert theirs.scale == scale
    built = rrdb.build(network.state_dict(), Namespace(), "w.pth")
    with torch.inference_mode():
        torch.testing.assert_close(built.network(image), theirs.model.eval()(image))


def authors(network: Edsr) -> dict[str, torch.Tensor]:
    """Rename the keys to those of the authors' repository, which has the mean colour as frozen convolutions."""
    state = {}
    for name, tensor in network.state_dict().items():
        name = re.sub(r"^body\.(\d+)\.conv1", r"body.\1.body.0", name)
        name = re.sub(r"^body\.(\d+)\.conv2", r"body.\1.body.2", name)
        name = name.replace("conv_first", "head.0").replace("conv_after_body", f"body.{len(network.body)}")
        state[name.replace("upsample", "tail.0").replace("conv_last", "tail.1")] = tensor
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        state[f"{name}.weight"] = torch.eye(3).reshape(3, 3, 1, 1)
        state[f"{name}.bias"] = sign * 255 * torch.tensor(MEAN)
    return state


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_edsr_loads_the_authors_layout_and_computes_what_the_paper_says(scale: int) -> None:
    network = seeded(Edsr(scale, blocks=2, channels=8))
    state = authors(network)
    built = edsr.build(state, Namespace(), "w.pth").network.eval()
    conv = torch.nn.functional.conv2d
    image = read_picture("astronaut.png", (16, 24), 3)
    x = conv(image * 255, state["sub_mean.weight"], state["sub_mean.bias"])
    x = first = conv(x, state["head.0.weight"], state["head.0.bias"], padding=1)
    for i in range(2):
        layers = [(state[f"body.{i}.body.{n}.weight"], state[f"body.{i}.body.{n}.bias"]) for n in (0, 2)]
        x = x + conv(conv(x, *layers[0], padding=1).relu(), *layers[1], padding=1)
    x = first + conv(x, state["body.2.weight"], state["body.2.bias"], padding=1)
    for i in range(1 if scale == 3 else scale.bit_length() - 1):
        x = conv(x, state[f"tail.0.{2 * i}.weight"], state[f"tail.0.{2 * i}.bias"], padding=1)
        x = torch.nn.functional.pixel_shuffle(x, 3 if scale == 3 else 2)
    x = conv(x, state["tail.1.weight"], state["tail.1.bias"], padding=1)
    x = conv(x, state["add_mean.weight"], state["add_mean.bias"]) / 255
    with torch.inference_mode():
        torch.testing.assert_close(built(image), x, atol=1e-5, rtol=1e-5)


def test_residuals_of_the_large_edsr_are_scaled_and_other_means_refused() -> None:
    with torch.device("meta"):
        state = Edsr(2, blocks=1, channels=128).state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in state.items()}
    assert edsr.build(state, Namespace(), "w.pth").network.body[0].residual_scale == 0.1
    assert edsr.build(state, Namespace(residual_scale=1.0), "w.pth").network.body[0].residual_scale == 1
    with pytest.raises(edgesr.ModelError, match=r"an EDSR with the mean \[0\.5, 0\.5, 0\.5\]"):
        edsr.build(state | {"sub_mean.bias": torch.full((3,), -0.5)}, Namespace(), "w.pth")


@pytest.mark.parametrize(
    ("words", "network", "radius"),
    [(["rrdb"], Rrdb(2), 34), (["edsr", "--target", "trt8.6"], Edsr(4), 36)],
    ids=["rrdb", "edsr"],
)
def test_one_command_makes_a_package_that_equals_torch(words, network, radius, tmp_path, capsys) -> None:
    network = seeded(network)
    with torch.no_grad():  # an output within [0, 1], where the runtime does not clip
        network.conv_last.weight.mul_(0.01)
        network.conv_last.bias.fill_(0.4 if words[0] == "rrdb" else 0)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "w.pth")
    target = tmp_path / "mine.edgesr"
    assert main([*words, "--weights", str(tmp_path / "w.pth"), "-o", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    described = open_package(target).descriptor
    assert (described.name, described.scale, described.receptive_field, described.size.multiple) == (
        "mine",
        4,
        radius,
        1,
    )
    rows = [row for row in described.quality if row["set"] == "parity with PyTorch"]
    assert {row["picture"] for row in rows} == {"astronaut.png", "chest_xray.png"}
    assert len({tuple(row["size"]) for row in rows}) == 2
    assert max(row["relative"] for row in rows) < 1e-5
    image = read_picture("astronaut.png", (31, 22), 3)
    with torch.inference_mode():
        expected = network(image)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    with edgesr.load(target, device="cpu") as up:
        got = up(image[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(got, expected, atol=1e-5)


def swin(**changes) -> SwinIr:
    return seeded(SwinIr(**{"scale": 4, "width": 12, "depths": (2, 2), "heads": (2, 2)} | changes))


def with_buffers(network: SwinIr) -> dict[str, torch.Tensor]:
    """Return the weights with the tables that the authors' checkpoints carry; their masks are of another size."""
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if hasattr(module, "relative_position_index"):
            state[f"{name}.relative_position_index"] = module.relative_position_index
        if name.endswith("blocks.1"):
            state[f"{name}.attn_mask"] = torch.zeros(64, 64, 64)
    return state


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize(
    "changes",
    [
        {"upsampler": "pixelshuffledirect"},
        {"scale": 2},
        {"scale": 8},
        {"upsampler": "nearest+conv", "has_three_convolutions": True},
        {"upsampler": "", "scale": 1},
    ],
    ids=["lightweight", "classical x2", "classical x8", "real-world", "same size"],
)
def test_swinir_is_built_from_its_weights_and_equals_spandrels(changes) -> None:
    network = swin(**changes)
    built = swinir.build(with_buffers(network), Namespace(), "w.pth")
    assert (built.size, built.multiple, built.network.scale) == ((64, 64), 8, network.scale)
    image = read_picture("astronaut.png", (24, 32), 3)
    with torch.inference_mode():
        got = built.network(image)
        torch.testing.assert_close(got, network(image))
        spandrel = pytest.importorskip("spandrel")
        theirs = spandrel.ModelLoader().load_from_state_dict(with_buffers(network)).model.eval()
        torch.testing.assert_close(got, theirs(image), atol=1e-5, rtol=1e-5)


def test_swinir_refuses_tiles_that_windows_do_not_fill_and_other_orders_of_positions() -> None:
    state = with_buffers(swin())
    assert swinir.build(state, Namespace(tile="dynamic"), "w.pth").size is None
    for tile in ("60", "0", "large"):
        with pytest.raises(edgesr.UsageError, match=f"--tile must be a multiple of 8, or dynamic, got '{tile}'"):
            swinir.build(state, Namespace(tile=tile), "w.pth")
    for name in [name for name in state if name.endswith("position_index")]:
        state[name] = state[name].T.contiguous() + 0
    with pytest.raises(edgesr.ModelError, match="another order of relative positions"):
        swinir.build(state, Namespace(), "w.pth")


def test_swinir_with_static_windows_becomes_a_package(tmp_path) -> None:
    torch.save(with_buffers(swin(upsampler="pixelshuffledirect")), tmp_path / "w.pth")
    target = tmp_path / "swin.edgesr"
    words = ["--weights", str(tmp_path / "w.pth"), "-o", str(target), "--tile", "24", "--target", "trt10"]
    assert main(["swinir", *words]) == 0
    described = open_package(target).descriptor
    assert (described.scale, described.size.fixed, described.receptive_field) == (4, (24, 24), None)
    with edgesr.load(target, device="cpu") as up:
        assert up(np.full((40, 50, 3), 99, np.uint8)).shape == (160, 200, 3)


def test_the_face_network_gives_picture_and_parsing_maps_in_one_package(tmp_path) -> None:
    network = seeded(PriorFsr(channels=16, blocks=2, prior=16, fusion=1))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    built = prior_fsr.build(network.state_dict(), Namespace(), "w.pth")
    assert (len(built.network.body), built.size) == (2, (16, 16))
    face = read_picture("astronaut.png", (16, 16), 3)
    with torch.inference_mode():
        picture, maps = network(face)
    assert (picture.shape, maps.shape) == ((1, 3, 128, 128), (1, 11, 128, 128))
    torch.testing.assert_close(maps.sum(1), torch.ones(1, 128, 128))
    target = tmp_path / "face.edgesr"
    words = ["--weights", str(tmp_path / "w.pth"), "-o", str(target), "--target", "trt10"]
    assert main(["prior-fsr", *words]) == 0
    described = open_package(target).descriptor
    assert (described.scale, described.size.fixed) == (8, (16, 16))
    assert set(described.parts["network"].outputs) == {"image", "parsing"}
    assert {row["output"] for row in described.quality} == {"image", "parsing"}
    with edgesr.load(target, device="cpu") as up:
        got = up(face[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(got, picture[0].permute(1, 2, 0).clamp(0, 1).numpy(), atol=1e-4)


def test_whatever_spandrel_knows_becomes_a_package_and_else_is_refused(tmp_path, capsys) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    torch.save({"params": seeded(SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2)).state_dict()}, tmp_path / "w.pth")
    words = ["-o", str(tmp_path / "x.edgesr"), "--target", "trt10"]
    assert main(["spandrel", "--weights", str(tmp_path / "w.pth"), *words]) == 0
    described = open_package(tmp_path / "x.edgesr").descriptor
    assert (described.scale, described.receptive_field) == (2, 4)
    assert "spandrel found RealESRGAN Compact for SR" in capsys.readouterr().err
    torch.save({"x": torch.zeros(2)}, tmp_path / "w.pth")
    assert main(["spandrel", "--weights", str(tmp_path / "w.pth"), *words]) == 3
    assert "recognises no network in these weights" in capsys.readouterr().err


def test_a_network_that_merges_itself_in_every_run_is_merged_once(tmp_path) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.SPAN.__arch.span import SPAN

    network = seeded(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2))
    with torch.no_grad():  # as small values inside as a trained network has
        network.conv_1.sk.weight.div_(network.img_range)
        network.conv_1.conv[0].weight.div_(network.img_range)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "w.pth")
    words = ["--weights", str(tmp_path / "w.pth"), "-o", str(tmp_path / "x.edgesr"), "--tile", "24"]
    assert main(["spandrel", *words]) == 0
    image = read_picture("astronaut.png", (24, 24), 3)
    with torch.inference_mode(), edgesr.load(tmp_path / "x.edgesr", device="cpu") as up:
        expected = network(image)[0].permute(1, 2, 0).clamp(0, 1).numpy()
        np.testing.assert_allclose(up(image[0].permute(1, 2, 0).numpy()), expected, atol=1e-2)


def test_features_of_edsr_are_brought_to_one_without_another_picture() -> None:
    network = seeded(Edsr(4, blocks=2, channels=8))
    image = read_picture("astronaut.png", (16, 24), 3)
    with torch.inference_mode():
        expected = network(image)
        network.bring_to_one()
        torch.testing.assert_close(network(image), expected, atol=1e-5, rtol=1e-5)
        assert float(network.conv_first(image - network.mean).abs().max()) < 4


@pytest.mark.parametrize(
    ("words", "network", "limits"), [("rlfn", Rlfn(8, 6, 2, 2), [0, 255]), ("imdn", Imdn(16, 2, 2), [0, 1])]
)
def test_rlfn_and_imdn_become_packages_with_their_range(words, network, limits, tmp_path) -> None:
    torch.save(seeded(network).state_dict(), tmp_path / "w.pth")
    target = tmp_path / "mine.edgesr"
    assert main([words, "--weights", str(tmp_path / "w.pth"), "-o", str(target)]) == 0
    described = open_package(target).descriptor
    assert (described.scale, list(described.input.range), list(described.output_range)) == (2, limits, limits)
    assert max(row["relative"] for row in described.quality) < 1e-4
