"""``edgesr pack --triton``: configurations that Triton's own schema takes, and networks with the bits of ``run``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgesr.image import Picture, read, write
from edgesr.model import ModelDescriptor, Part, Prediction, Preprocessing, Resize, SizeRequirements, write_package
from edgesr.pipelines.load import load
from tests import networks
from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.triton_double import load_schema, parsed


@pytest.fixture(scope="session")
def schema():
    return load_schema()


def session(folder: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])


def faces_agree(config, network: onnxruntime.InferenceSession) -> None:
    """Hold every tensor of a configuration against the network, as a server does when it loads the model."""
    kinds = {2: "tensor(uint8)", 3: "tensor(uint16)", 11: "tensor(float)"}
    for described, tensors in ((config.input, network.get_inputs()), (config.output, network.get_outputs())):
        assert [tensor.name for tensor in described] == [tensor.name for tensor in tensors]
        for ours, theirs in zip(described, tensors, strict=True):
            shape = [n if isinstance(n, int) else -1 for n in theirs.shape]
            assert kinds[ours.data_type] == theirs.type
            assert list(ours.dims) == (shape[1:] if config.max_batch_size else shape)
            assert not config.max_batch_size or shape[0] == -1


def test_a_shipped_model_is_served_with_the_bits_of_run(schema, call: Call, tmp_path: Path) -> None:
    answer = call("pack", "cxr-x4-fast", "--triton", tmp_path / "repo", "--set", "degradation=area", "--json")
    place = tmp_path / "repo" / "cxr-x4-fast"
    assert (answer.code, answer.document["model"], answer.document["exact"]) == (0, str(place), True)
    assert files(tmp_path / "repo") == [
        f"cxr-x4-fast/{name}" for name in ("1/model.onnx", "README.txt", "config.pbtxt")
    ]
    config, network = parsed(schema, place), session(place)
    faces_agree(config, network)
    assert (config.name, config.platform, config.max_batch_size) == ("cxr-x4-fast", "onnxruntime_onnx", 8)
    assert config.HasField("dynamic_batching")
    assert config.version_policy.latest.num_versions == 1
    assert [(group.kind, group.count) for group in config.instance_group] == [(0, 1)]
    said = {key: value.string_value for key, value in config.parameters.items()}
    with load("cxr-x4-fast", "cpu") as restorer:
        (fidelity,) = restorer.descriptor.controls["fidelity"].default
        tile = restorer.descriptor.tile
        bound = restorer.descriptor.uncertainty
    assert bound is not None and float(said["uncertainty_factor"]) == bound.factor
    rules = {kernel: {"usual": rule.usual, "growth": rule.growth} for kernel, rule in bound.noise.items()}
    assert json.loads(said["uncertainty_noise"]) == rules != {}
    (warm,) = config.model_warmup
    assert (warm.batch_size, list(warm.inputs["image_uint8"].dims)) == (1, [tile, tile, 1])
    expected = ("area", f"{fidelity:g}", "Apache-2.0")
    assert (said["control_degradation"], said["control_fidelity"], said["licence"]) == expected
    assert "Not a medical device" in said["intended_use"]
    assert "Not a medical device" in (place / "README.txt").read_text(encoding="utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (33, 27, 1), np.uint8)
    write(tmp_path / "a.png", Picture((pixels,)))
    assert call("run", tmp_path / "a.png", "-m", "cxr-x4-fast", "--degradation", "area", "--device", "cpu").code == 0
    (picture,) = network.run(["upscaled_uint8"], {"image_uint8": pixels[None]})
    np.testing.assert_array_equal(picture[0], read(tmp_path / "a_x4.png").frames[0])


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_bare_network_is_served_in_either_depth(
    schema, kind: str, call: Call, models: Models, tmp_path: Path
) -> None:
    words = ["--triton", tmp_path, "--embed-io", kind, "--name", "mine", "--instances", "2", "--warm-up", "30x20"]
    assert call("pack", models.onnx, *words).code == 0
    config, network = parsed(schema, tmp_path / "mine"), session(tmp_path / "mine")
    faces_agree(config, network)
    # Its network holds a batch of one.
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert [group.count for group in config.instance_group] == [2]
    assert list(config.model_warmup[0].inputs[f"image_{kind}"].dims) == [1, 30, 20, 1]
    pixels = np.random.default_rng(1).integers(0, np.iinfo(kind).max, (12, 17, 1), kind, endpoint=True)
    with load(models.onnx, "cpu") as pipeline:
        np.testing.assert_array_equal(network.run(None, {f"image_{kind}": pixels[None]})[0][0], pipeline(pixels))


def test_pictures_of_a_batch_are_those_of_single_requests(call: Call, tmp_path: Path) -> None:
    assert call("pack", "cxr-x4-fast", "--triton", tmp_path, "--max-batch", "2").code == 0
    network = session(tmp_path / "cxr-x4-fast")
    pixels = np.random.default_rng(2).integers(0, 256, (2, 20, 24, 1), np.uint8)
    both = network.run(["upscaled_uint8"], {"image_uint8": pixels})[0].astype(int)
    alone = [network.run(["upscaled_uint8"], {"image_uint8": one[None]})[0][0] for one in pixels]
    assert np.abs(both - alone).max() <= 1
    assert np.abs(both[0] - both[1]).max() > 1


def labelled(folder: Path, activation: str = "softmax", labels: tuple[str, ...] = ('re"d', "grün", "blue")) -> Path:
    descriptor = ModelDescriptor(
        name="colors",
        version="1.0.0",
        task="classify",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"logits": "logits"})},
        input=Preprocessing(resize=Resize("exact", (16, 16)), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)),
        size=SizeRequirements(fixed=(16, 16)),
        labels=labels,
        prediction=Prediction(activation=activation),  # type: ignore[arg-type]
        intended_use="tests,\non\tseveral lines \\ and with “quotes”",
    )
    network = networks.color_classifier(folder / "colors.onnx")
    return write_package(folder / "colors.edgesr", descriptor, {"network.onnx": network})


def test_a_classifier_is_served_with_its_labels_and_scores(schema, call: Call, tmp_path: Path) -> None:
    package = labelled(tmp_path)
    assert call("pack", package, "--triton", tmp_path / "repo").code == 0
    place = tmp_path / "repo" / "colors"
    config, network = parsed(schema, place), session(place)
    faces_agree(config, network)
    assert [(o.name, o.label_filename) for o in config.output] == [("logits", "labels.txt"), ("scores", "labels.txt")]
    assert (place / "labels.txt").read_text(encoding="utf-8").splitlines() == ['re"d', "grün", "blue"]
    assert config.parameters["intended_use"].string_value == "tests,\non\tseveral lines \\ and with “quotes”"
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    with load(package, "cpu") as pipeline:
        expected = pipeline(pixels).scores
    np.testing.assert_allclose(network.run(["scores"], {"image_uint8": pixels[None]})[0][0], expected, rtol=1e-5)


def test_force_replaces_a_model_and_nothing_else(call: Call, models: Models, tmp_path: Path) -> None:
    words = ["pack", models.package, "--triton", tmp_path]
    assert call(*words).code == 0
    (tmp_path / "tiny-x2" / "old").touch()
    answer = call(*words)
    assert (answer.code, "replace it with --force" in answer.error) == (2, True)
    assert (tmp_path / "tiny-x2" / "old").exists()
    assert call(*words, "--force").code == 0
    assert not (tmp_path / "tiny-x2" / "old").exists()
    (tmp_path / "letters").mkdir()
    answer = call(*words, "--name", "letters", "--force")
    assert (answer.code, "is no model of a server" in answer.error) == (2, True)
    assert (tmp_path / "letters").is_dir()


def test_a_failed_write_leaves_the_old_model(call: Call, models: Models, tmp_path: Path, monkeypatch) -> None:
    words = ["pack", models.package, "--triton", tmp_path, "--force"]
    assert call(*words).code == 0
    before = files(tmp_path)
    original = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == "README.txt":
            raise OSError(28, "No space left on device")
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = call(*words)
    assert (answer.code, "cannot be written: No space left on device" in answer.error) == (3, True)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["cxr-x4-diffusion", "--triton", "repo"], "is a latent diffusion"),
        (
            ["cxr-x4-fast+LABELS", "--triton", "repo", "--as-input", "fidelity"],
            "a chain in one graph has fixed controls",
        ),
        (["MODEL", "--triton", "repo", "--size", "8x8"], "are for RESTORATION+TASK"),
        (["MODEL", "--triton", "file"], "is a file"),
        (["MODEL", "--triton", "repo", "--name", "a/b"], "is named with letters"),
        (["MODEL", "--triton", "repo", "-o", "a.edgesr"], "-o is for making a package"),
        (["MODEL", "--triton", "repo", "--task", "classify"], "pack it first"),
        (["MODEL", "--triton", "repo", "--set", "fidelty=1"], "has no control 'fidelty'"),
        (["cxr-x4-fast", "--triton", "repo", "--set", "fidelity=7"], "between 0 and 1"),
        (["MODEL", "--triton", "repo", "--set", "fidelity"], "expected CONTROL=VALUE"),
        (["MODEL", "--triton", "repo", "--max-batch", "4"], "takes one picture at a time"),
        (["LABELS", "--triton", "repo", "--warm-up", "20x20"], "the network takes 16x16"),
        (["--triton", "repo"], "needs a model"),
        (["MODEL", "-o", "a.edgesr", "--max-batch", "4"], "give --triton DIR too"),
        (["MODEL"], "required: -o/--output"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    words: list[str], text: str, call: Call, models: Models, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    places = {"MODEL": str(models.package)}
    if any("LABELS" in word for word in words):
        places["LABELS"] = str(labelled(tmp_path))
    before = files(tmp_path)
    answer = call("pack", *("+".join(places.get(part, part) for part in word.split("+")) for word in words))
    assert (answer.code, text in answer.error) == (2, True), answer.err
    assert files(tmp_path) == before
