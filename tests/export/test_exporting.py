"""``export.package`` for networks of one's own, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("PIL")

import onnx  # noqa: E402
from torch import nn  # noqa: E402

import edgesr  # noqa: E402
import export  # noqa: E402
from edgesr.compile.graph import Graph  # noqa: E402
from edgesr.errors import AccuracyError, BuildError, UsageError  # noqa: E402
from export.exporting.deriving import derive  # noqa: E402
from export.exporting.onnx_graph import export_onnx, opened  # noqa: E402
from export.exporting.parity import measure_parity, read_picture  # noqa: E402
from export.exporting.targets import check_operators  # noqa: E402
from tests.export.seeded import seeded  # noqa: E402


class Doubled(nn.Module):
    """Enlarges twice: a dilated convolution, batch norm, pixel shuffle."""

    def __init__(self, channels: int = 3, dilation: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Sequential(nn.Conv2d(8, 4 * channels, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, image):
        base = nn.functional.interpolate(image, scale_factor=2.0, mode="nearest")
        return base + 0.1 * self.last(self.norm(self.first(image)).relu())


class Overwriting(Doubled):
    """Writes into the picture that it is given."""

    def forward(self, image):
        image *= 2
        return super().forward(image)


class WithMap(Doubled):
    """Gives a second output beside the picture."""

    def forward(self, image):
        return super().forward(image), self.first(image)


class Strided(nn.Module):
    """Halves and doubles, so that sides have to be even, and a context far away."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, image):
        return image + self.up(self.down(image))


class Pooled(nn.Module):
    """Sees the whole picture."""

    def forward(self, image):
        return image * image.mean((2, 3), keepdim=True)


class Stretched(nn.Module):
    """Stretches pooled features over whatever it is given, by a factor that depends on the size."""

    def forward(self, image):
        pooled = nn.functional.max_pool2d(image, 7, 3)
        return image * nn.functional.interpolate(pooled, image.shape[2:], mode="bilinear")


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (Doubled(), (2, 3, 3, 1, 4)),
        (Doubled(channels=1, dilation=5), (2, 1, 1, 1, 6)),
        (Strided(), (1, 3, 3, 2, 3)),
        (Pooled(), (1, 3, 3, 1, None)),
        (Stretched(), (1, 3, 3, 1, None)),
    ],
    ids=["dilated", "grey", "strided", "global", "stretched"],
)
def test_scale_channels_sizes_and_reach_are_measured(network, expected) -> None:
    facts = derive(seeded(network), expected[1])
    assert (facts.scale, facts.input_channels, facts.output_channels, facts.multiple, facts.receptive_field) == expected


def test_any_module_becomes_a_package_that_equals_it(tmp_path) -> None:
    network, said = seeded(WithMap(channels=1)), []
    package = export.package(
        network,
        tmp_path / "twice.edgesr",
        {"name": "twice", "licence": "MIT", "input": {"range": [0, 255]}},
        outputs=("image", "map"),
        target="trt10",
        say=said.append,
    )
    described = package.descriptor
    assert (described.scale, described.input.color, described.licence) == (2, "grey", "MIT")
    assert described.input.range == described.output_range == (0, 255)
    assert described.parts["network"].outputs == {"image": "upscaled", "map": "map"}
    assert {row["output"] for row in described.quality} == {"image", "map"}
    assert onnx.load(package.part_path("network")).opset_import[0].version == 18
    assert any("scale 2, 1 to 1 channels" in text for text in said)
    picture = (read_picture("chest_xray.png", (37, 52), 1) * 255).round()
    with torch.inference_mode():
        expected = network(picture)[0][0, 0].clamp(0, 255).round().numpy()
    with edgesr.load(tmp_path / "twice.edgesr", device="cpu") as up:
        got = up(picture[0, 0].numpy().astype(np.uint8))
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert (got == expected).mean() > 0.999


def test_a_fixed_size_is_kept(tmp_path) -> None:
    package = export.package(seeded(Doubled()), tmp_path / "fixed.edgesr", size=(24, 16), target="trt11")
    assert package.descriptor.size.fixed == (24, 16)
    graph = Graph.read(package.part_path("network"))
    assert (graph.shapes["image"], graph.shapes["upscaled"]) == ((1, 3, 24, 16), (1, 3, 48, 32))


def test_batch_norm_in_training_mode_or_without_statistics_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"BatchNorm2d 'norm' is in training mode; call network\.eval\(\)"):
        export.package(Doubled(), tmp_path / "x.edgesr")
    network = Doubled()
    network.norm = nn.BatchNorm2d(8, track_running_stats=False)
    with pytest.raises(UsageError, match="'norm' has no running statistics"):
        export.package(network.eval(), tmp_path / "x.edgesr")
    assert not (tmp_path / "x.edgesr").exists()


def test_what_contradicts_the_network_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"target must be one of trt8\.6, trt10, trt11, any, got 'trt7'"):
        export.package(seeded(Doubled()), tmp_path / "x.edgesr", target="trt7")
    with pytest.raises(UsageError, match="outputs must begin with 'image'"):
        export.package(seeded(Doubled()), tmp_path / "x.edgesr", outputs=("map",))
    with pytest.raises(UsageError, match="low before high"):
        export.package(seeded(Doubled()), tmp_path / "x.edgesr", {"input": {"range": [1, 0]}})
    with pytest.raises(UsageError, match="scale is 2 as measured, not 4; leave it out"):
        export.package(seeded(Doubled()), tmp_path / "x.edgesr", {"scale": 4}, size=(24, 24))


def test_an_operator_that_a_version_lacks_is_named() -> None:
    def model(operator: str, opset: int) -> Graph:
        value = [onnx.helper.make_tensor_value_info(n, 1, [1, 3, 8, 8]) for n in ("x", "y")]
        nodes = [onnx.helper.make_node(operator, ["x"], ["y"], name="activation")]
        graph = onnx.helper.make_graph(nodes, "g", value[:1], value[1:])
        return Graph(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)]), "g")

    with pytest.raises(BuildError, match=r"Mish \('activation'\) is not known to TensorRT 8\.6; write it as x"):
        check_operators(model("Mish", 17), "trt8.6")
    with pytest.raises(BuildError, match=r"opset 20 is outside 7 \.\. 17 of TensorRT 8\.6.*\(--target any\)"):
        check_operators(model("Relu", 20), "any")
    assert check_operators(model("Relu", 17), "any") == []


class Mean(nn.Module):
    """Averages over the picture, which opset 18 writes in another way than opset 17."""

    def forward(self, image):
        return nn.functional.adaptive_avg_pool2d(image, 1).flatten(1)


def test_the_current_exporters_graph_is_brought_down_to_the_opset_of_the_target() -> None:
    image = torch.rand(2, 3, 5, 7)
    traced = export_onnx(Mean().eval(), image, ("logits",), opset=17, scale=None)
    assert (traced.exporter, traced.model.opset_import[0].version) == ("current", 17)
    torch.testing.assert_close(opened(traced.model)(image)[0], image.mean((2, 3)))


class Complex(nn.Module):
    """Has no counterpart in ONNX."""

    def forward(self, image):
        return torch.linalg.svd(image).U


def test_what_no_exporter_takes_is_refused_in_one_line_with_what_may_help(capfd) -> None:
    with pytest.raises(
        BuildError, match=r"no exporter .*; a fixed size \(--tile, or size=\) or a newer --target may work$"
    ):
        export_onnx(Complex().eval(), torch.rand(1, 3, 8, 8), ("image",), opset=17, scale=1)
    assert capfd.readouterr() == ("", "")


class Data(nn.Module):
    """Takes another path for smooth pictures, which a trace on noise does not show."""

    def forward(self, image):
        return image if float((image[:, :, 1:] - image[:, :, :-1]).abs().mean()) > 0.2 else image * 2


def test_a_network_whose_trace_forgets_something_is_refused(tmp_path) -> None:
    with pytest.raises((AccuracyError, BuildError)):
        export.package(Data().eval(), tmp_path / "x.edgesr", size=(24, 24))


def test_a_graph_of_other_weights_or_without_information_fails_parity(tmp_path) -> None:
    network = seeded(Doubled())
    package = export.package(network, tmp_path / "x.edgesr", size=(24, 24))
    model = onnx.load(package.part_path("network"))
    asked = {"sizes": [(24, 24)], "channels": 3, "limits": (0.0, 1.0)}
    with torch.no_grad():
        network.last[0].weight += 1e-2
    with pytest.raises(AccuracyError, match=r"image on astronaut\.png at 24 x 24: differs from PyTorch by"):
        measure_parity(network, model, ["image"], **asked)
    with torch.no_grad():
        network.first.bias.fill_(torch.inf)
    with pytest.raises(AccuracyError, match="PyTorch itself gives NaN or infinite values"):
        measure_parity(network, model, ["image"], **asked)
    with pytest.raises(AccuracyError, match="does not run at 32 x 32"):
        measure_parity(seeded(Doubled()), model, ["image"], **{**asked, "sizes": [(32, 32)]})


def test_a_network_that_writes_into_its_input_is_compared_on_the_same_picture(tmp_path) -> None:
    package = export.package(seeded(Overwriting()), tmp_path / "over.edgesr", size=(24, 32))
    assert all(row["relative"] < 1e-4 for row in package.descriptor.quality)


def test_a_network_that_takes_no_picture_is_refused_with_its_own_reason(tmp_path) -> None:
    reason = r"no picture of 64 x 64 pixels, of 3 channels: .* 2 channels"
    with pytest.raises(UsageError, match=reason):
        export.package(seeded(nn.Conv2d(2, 2, 3, padding=1)), tmp_path / "two.edgesr")
