"""Pictures as the graph's own input and output: the bits of the runtime, on every network and in engines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from edgesr.cli import main
from edgesr.compile.embed_io import describe_embedded, embed_io
from edgesr.compile.graph import Graph
from edgesr.engines import open_backend
from edgesr.errors import InputError
from edgesr.image import Picture, read, write
from edgesr.model import ModelDescriptor, Part, Preprocessing, SizeRequirements, find, open_package, write_package
from edgesr.pipelines.load import load
from edgesr.pipelines.restore import Restorer
from tests import networks
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.test_tensorrt import Machine, make_package


def embedded(package, folder: Path, kind: str):
    """Write the package with pictures of ``kind`` in its graph."""
    descriptor = package.descriptor
    graph = embed_io(Graph.read(package.part_path("network")), descriptor, kind)
    described = describe_embedded(descriptor, kind)
    files = {name: package.read(name) for name in descriptor.files}
    return open_package(
        write_package(folder / kind, described, {descriptor.parts["network"].file: graph.bytes(), **files})
    )


def picture(kind: str, h: int = 21, w: int = 26, c: int = 1, seed: int = 0):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (h, w, c), kind, endpoint=True)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("model", ["cxr-x4", "cxr-x4-fast"])
def test_shipped_models_give_the_same_bits_at_every_setting(model, kind, tmp_path):
    package = open_package(find(model))
    inside = embedded(package, tmp_path, kind)
    with Restorer(package, open_backend("cpu")) as plain, Restorer(inside, open_backend("cpu")) as graph:
        for controls in ({}, {"fidelity": 1.0}, {"degradation": "area", "consistency": 0.0}):
            np.testing.assert_array_equal(graph(picture(kind), **controls), plain(picture(kind), **controls))
        ours, theirs = (it.restore(picture(kind), uncertainty=True) for it in (graph, plain))
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.std, theirs.std)


PREPARED = {
    "plain": {},
    "channels last": {"layout": "NHWC"},
    "grey levels": {"range": (0.0, 255.0), "output_range": (0.0, 255.0)},
    "around zero": {"range": (-1.0, 1.0), "output_range": (-1.0, 1.0)},
    "normalised": {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)},
}


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("name", PREPARED)
def test_every_way_to_prepare_pictures_gives_the_same_bits(name, kind, tmp_path):
    said = dict(PREPARED[name])
    output_range = said.pop("output_range", (0.0, 1.0))
    expects = Preprocessing(**said)
    path = networks.convolution_x(tmp_path / "n.onnx", channels=3, layout=expects.layout)
    descriptor = ModelDescriptor(
        name="tiny",
        version="1.0.0",
        task="restore",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
        scale=2,
        input=expects,
        output_range=output_range,
        size=SizeRequirements(multiple=4),
        receptive_field=3,
    )
    package = open_package(write_package(tmp_path / "tiny", descriptor, {"network.onnx": path}))
    inside = embedded(package, tmp_path, kind)
    with Restorer(package, open_backend("cpu")) as plain, Restorer(inside, open_backend("cpu")) as graph:
        for size in ((21, 26), (1, 1), (8, 8)):
            image = picture(kind, *size, c=3)
            np.testing.assert_array_equal(graph(image), plain(image))
        # The embedded graph is taken without a detour over floats where one tile is enough; else tiles blend.
        with Restorer(graph.package, open_backend("cpu"), tile=44) as tiled:
            difference = tiled(picture(kind, 60, 60, 3)).astype(int) - plain(picture(kind, 60, 60, 3))
        assert np.abs(difference).max() <= 1


def test_the_graph_alone_takes_and_gives_pictures(tmp_path):
    package = open_package(make_package(tmp_path, channels=3))
    graph = embed_io(Graph.read(package.part_path("network")), package.descriptor, "uint8")
    session = onnxruntime.InferenceSession(graph.bytes(), providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[3]) == ("image_uint8", "tensor(uint8)", 3)
    assert (result.name, result.type) == ("upscaled_uint8", "tensor(uint8)")
    image = picture("uint8", c=3)
    with load(package.path, "cpu") as plain:
        np.testing.assert_array_equal(session.run(None, {"image_uint8": image[None]})[0][0], plain(image))


def test_half_and_old_networks_are_embedded_too(tmp_path):
    nodes = [
        helper.make_node("Relu", ["image"], ["r"]),
        helper.make_node("Upsample", ["r", "s"], ["y"], mode="nearest"),
    ]
    weights = {"s": np.array([1, 1, 2, 2], np.float32)}
    shapes = [networks.tensor("image", 1, 1, 4, 4, kind=10)], [networks.tensor("y", 1, 1, 8, 8, kind=10)]
    path = networks.save(tmp_path / "old.onnx", nodes, *shapes, weights, opset=9)
    descriptor = ModelDescriptor(
        name="old",
        version="1",
        task="restore",
        parts={"network": Part("n.onnx", "", {"image": "image"}, {"image": "y"})},
        scale=2,
        input_channels=1,
        output_channels=1,
        input=Preprocessing(color="grey", dtype="float16"),
        size=SizeRequirements(fixed=(4, 4)),
    )
    package = open_package(write_package(tmp_path / "old", descriptor, {"n.onnx": path}))
    inside = embedded(package, tmp_path, "uint8")
    with Restorer(package, open_backend("cpu")) as plain, Restorer(inside, open_backend("cpu")) as graph:
        np.testing.assert_array_equal(graph(picture("uint8", 4, 4)), plain(picture("uint8", 4, 4)))


def test_a_built_package_runs_and_refuses_pictures_of_another_depth(tmp_path, capsys):
    output = tmp_path / "e.edgesr"
    assert main(["build", "cxr-x4-fast", "--fp16", "--embed-io", "--target", "onnx", "-o", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "pictures of uint8 go in and out, with the same bits as without" in said["notes"]
    assert said["tensorrt"]["8.6"] == ""
    described = open_package(output).descriptor
    assert (described.input.dtype, described.input.layout, described.embedded_io) == ("uint8", "NHWC", "uint8")
    assert "quantum" not in described.parts["network"].inputs
    write(tmp_path / "a.png", Picture((picture("uint8"),)))
    write(tmp_path / "b.png", Picture((picture("uint16"),)))
    assert main(["run", str(tmp_path / "a.png"), "-m", str(output), "--device", "cpu"]) == 0
    assert read(tmp_path / "a_x4.png").frames[0].shape == (84, 104, 1)
    capsys.readouterr()
    assert main(["run", str(tmp_path / "b.png"), "-m", str(output), "--device", "cpu"]) == 6
    assert "was built with --embed-io uint8 and takes 8-bit pictures; this one is 16-bit" in capsys.readouterr().err
    with load(output, "cpu") as graph, pytest.raises(InputError, match="this one is float"):
        graph(np.zeros((8, 8), np.float32))


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["MODEL", "--embed-io", "uint8", "--io", "fp16", "--fp16"], 2, "leave out --io"),
        (["MODEL", "--embed-io", "uint16", "--target", "engine"], 2, "TensorRT has no 16-bit unsigned numbers"),
        (["EMBEDDED", "--embed-io"], 2, "has its pictures in the graph already"),
        (["--onnx", "LABELS", "--embed-io"], 2, "is for networks from picture to picture"),
    ],
)
def test_what_cannot_be_embedded_is_said(words, code, text, tmp_path, capsys):
    package = open_package(make_package(tmp_path))
    places = {
        "MODEL": package.path,
        "EMBEDDED": embedded(package, tmp_path, "uint8").path,
        "LABELS": networks.color_classifier(tmp_path / "c.onnx"),
    }
    assert main(["build", *(str(places.get(word, word)) for word in words)]) == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_engines_take_and_give_pictures(version, monkeypatch, tmp_path, capsys):
    machine = Machine(version, monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package, output = make_package(tmp_path), tmp_path / "typed.edgesr"
    words = ["--embed-io", "uint8", "--tile", "48", "--target", "engine", "-o", str(output), "--json"]
    assert main(["build", str(package), *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["engine"]["facts"]["options"]["profile"]["image_uint8"]["best"] == [1, 48, 48, 1]
    assert said["engine"]["proof"]["min_psnr"] is None
    notes: list[str] = []
    with load(output, "tensorrt", tile=48, note=notes.append) as engine, load(package, "cpu", threads=1) as plain:
        image = picture("uint8", 30, 40)
        np.testing.assert_array_equal(engine(image), plain(image))
    assert notes == []
    machine.fake.check()
