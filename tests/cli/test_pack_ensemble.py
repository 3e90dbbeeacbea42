"""``edgesr pack --triton --ensemble``: repositories that a double of the server runs, with the pictures of ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesr.image import Picture, read, write
from edgesr.pipelines.load import load
from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.cli.test_pack_triton import faces_agree, labelled, session
from tests.triton_double import Server, load_schema, parsed

PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100)


@pytest.fixture(scope="module")
def schema() -> Any:
    return load_schema()


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_an_ensemble_gives_the_picture_of_run(schema: Any, kind: str, call: Call, tmp_path: Path) -> None:
    words = ["--triton", tmp_path / "repo", "--ensemble", "--embed-io", kind, "--set", "degradation=area", "--json"]
    answer = call("pack", "cxr-x4-fast", *words)
    assert (answer.code, answer.document["exact"], answer.document["max_batch_size"]) == (0, True, 8)
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (33, 27, 1), kind, endpoint=True)
    write(tmp_path / "a.png", Picture((pixels,)))
    assert call("run", tmp_path / "a.png", "-m", "cxr-x4-fast", "--degradation", "area", "--device", "cpu").code == 0
    server = Server(schema, tmp_path / "repo")
    names = ["cxr-x4-fast", "cxr-x4-fast-after", "cxr-x4-fast-before", "cxr-x4-fast-network"]
    assert list(server.configs) == names
    found = server.infer("cxr-x4-fast", {f"image_{kind}": pixels[None]})
    np.testing.assert_array_equal(found[f"upscaled_{kind}"][0], read(tmp_path / "a_x4.png").frames[0])
    both = server.infer("cxr-x4-fast", {f"image_{kind}": np.stack([pixels, pixels[::-1]])})
    assert both[f"upscaled_{kind}"].shape == (2, 132, 108, 1)


def test_the_models_of_an_ensemble_are_what_a_server_expects(schema: Any, call: Call, tmp_path: Path) -> None:
    words = ["--triton", tmp_path, "--ensemble", "--max-batch", "4", "--instances", "2", "--warm-up", "64x48"]
    assert call("pack", "cxr-x4-fast", *words).code == 0
    whole = parsed(schema, tmp_path / "cxr-x4-fast")
    assert (whole.platform, whole.max_batch_size, len(whole.model_warmup)) == ("ensemble", 4, 0)
    assert not whole.HasField("dynamic_batching")
    assert "Not a medical device" in whole.parameters["intended_use"].string_value
    steps = whole.ensemble_scheduling.step
    assert [step.model_name for step in steps] == [f"cxr-x4-fast-{name}" for name in ("before", "network", "after")]
    for step in steps:
        config = parsed(schema, tmp_path / step.model_name)
        faces_agree(config, session(tmp_path / step.model_name))
        assert (config.max_batch_size, config.instance_group[0].count) == (4, 2)
        assert config.HasField("dynamic_batching")
    (warm,) = parsed(schema, tmp_path / "cxr-x4-fast-network").model_warmup
    assert {name: list(value.dims) for name, value in warm.inputs.items()} == {"image": [1, 64, 48]}


@pytest.mark.parametrize("ensemble", [[], ["--ensemble"]], ids=["one graph", "ensemble"])
def test_every_request_gives_a_control_of_its_own(schema: Any, ensemble: list[str], call: Call, tmp_path: Path) -> None:
    words = ["--as-input", "fidelity", "--set", "degradation=cubic", "--triton", tmp_path, *ensemble]
    answer = call("pack", "cxr-x4-fast", *words)
    assert (answer.code, "every request gives fidelity" in answer.err) == (0, True)
    server = Server(schema, tmp_path)
    assert server.configs["cxr-x4-fast"].max_batch_size == 0
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, 1), np.uint8)
    with load("cxr-x4-fast", "cpu", degradation="cubic") as restorer:
        for fidelity in (0.0, 1.0):
            request = {"image_uint8": pixels[None], "fidelity": np.array([fidelity], np.float32)}
            found = server.infer("cxr-x4-fast", request)["upscaled_uint8"][0]
            np.testing.assert_array_equal(found, restorer.restore(pixels, fidelity=fidelity).image)


def test_a_classifier_in_an_ensemble_gives_logits_and_scores(schema: Any, call: Call, tmp_path: Path) -> None:
    package = labelled(tmp_path)
    assert call("pack", package, "--triton", tmp_path / "repo", "--ensemble").code == 0
    server = Server(schema, tmp_path / "repo")
    outputs = {output.name: output.label_filename for output in server.configs["colors"].output}
    assert outputs == {"logits": "labels.txt", "scores": "labels.txt"}
    assert (tmp_path / "repo/colors/labels.txt").is_file()
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    with load(package, "cpu") as pipeline:
        expected = pipeline(pixels).scores
    found = server.infer("colors", {"image_uint8": pixels[None]})["scores"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("ensemble", [[], ["--ensemble"]], ids=["one graph", "ensemble"])
def test_a_chain_is_served_as_one_network(schema: Any, ensemble: list[str], call: Call, tmp_path: Path) -> None:
    both = f"cxr-x4-fast+{labelled(tmp_path)}"
    words = ["--size", "4x4", "--set", "degradation=cubic", "--name", "seen", "--triton", tmp_path / "repo"]
    assert call("pack", both, *words, *ensemble).code == 0
    server = Server(schema, tmp_path / "repo")
    pixels = np.random.default_rng(4).integers(0, 256, (4, 4, 1), np.uint8)
    with load(both, "cpu", degradation="cubic") as pipeline:
        expected = pipeline(pixels).scores
    found = server.infer("seen", {"image_uint8": pixels[None]})["scores"][0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_network_without_scores_needs_no_third_model(schema: Any, call: Call, tmp_path: Path) -> None:
    assert call("pack", labelled(tmp_path, "none"), "--triton", tmp_path / "repo", "--ensemble").code == 0
    server = Server(schema, tmp_path / "repo")
    assert list(server.configs) == ["colors", "colors-before", "colors-network"]
    pixels = np.zeros((1, 16, 16, 3), np.uint8)
    assert server.infer("colors", {"image_uint8": pixels})["logits"].shape == (1, 3)


def test_an_engine_stands_in_the_place_of_the_network(schema: Any, call: Call, models: Models, tmp_path: Path) -> None:
    (tmp_path / "net.engine").write_bytes(PLAN)
    answer = call("pack", models.package, "--triton", tmp_path / "repo", "--plan", tmp_path / "net.engine")
    assert (answer.code, "TensorRT 10.3.0.30" in answer.err) == (0, True)
    place = tmp_path / "repo" / "tiny-x2-network"
    assert (parsed(schema, place).platform, files(place)) == ("tensorrt_plan", ["1/model.plan", "config.pbtxt"])
    assert (place / "1/model.plan").read_bytes() == PLAN
    assert parsed(schema, tmp_path / "repo" / "tiny-x2-before").platform == "onnxruntime_onnx"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--as-input", "fidelty"], 2, "has no such control (it has: fidelity, degradation, consistency)"),
        (["--as-input", "fidelity", "--set", "fidelity=1"], 2, "leave out --set fidelity"),
        (["--as-input", "fidelity", "--max-batch", "2"], 2, "holds for a whole run"),
        (["--plan", "absent.engine"], 3, "absent.engine"),
        (["--plan", "no.engine"], 3, "no.engine"),
    ],
)
def test_what_no_ensemble_can_be_is_one_line(
    words: list[str], code: int, text: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("no.engine").write_bytes(b"no engine")
    answer = call("pack", "cxr-x4-fast", "--triton", "repo", *words)
    assert (answer.code, text in answer.error) == (code, True), answer.err
    assert files(tmp_path) == ["no.engine"]


def test_a_chain_of_two_restorations_is_one_line(call: Call, models: Models, tmp_path: Path) -> None:
    answer = call("pack", f"cxr-x4-fast+{models.package}", "--triton", tmp_path / "repo")
    assert answer.code == 3
    assert answer.error.startswith(f"cxr-x4-fast+{models.package}: the second model of a chain must have task")


def test_an_ensemble_is_not_written_over_other_models(call: Call, models: Models, tmp_path: Path) -> None:
    (tmp_path / "tiny-x2-after").mkdir()
    answer = call("pack", models.package, "--triton", tmp_path, "--ensemble")
    assert (answer.code, "tiny-x2-after: is there already" in answer.error) == (2, True)
    assert files(tmp_path) == []
