from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.cli.main import build_parser
from edgesr.compile.graph import FLOAT, HALF, Graph
from edgesr.image import Picture, write
from edgesr.model import ModelDescriptor, Part, Preprocessing, SizeRequirements, open_package, verify, write_package
from edgesr.pipelines.load import load
from tests import networks
from tests.compile import samples


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        y, x = np.mgrid[0:40, 0:36] / 40
        waves = 0.5 + 0.4 * np.sin((5 + index) * x + 3 * y) * np.cos(7 * y)
        write(folder / f"p{index}.png", Picture((np.rint(waves * 255).astype(np.uint8)[..., None],)))
    return folder


@pytest.fixture
def package(tmp_path):
    path = networks.convolution_x(tmp_path / "n.onnx", depth=4)
    descriptor = ModelDescriptor(
        name="tiny",
        version="1.0.0",
        task="restore",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
        scale=2,
        input_channels=1,
        output_channels=1,
        input=Preprocessing(color="grey"),
        receptive_field=4,
        files={"LICENSE.txt": ""},
    )
    return write_package(tmp_path / "tiny.edgesr", descriptor, {"network.onnx": path, "LICENSE.txt": b"free"})


def build(capsys, *words) -> dict:
    assert main(["build", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [(["--fp16"], "fp16"), (["--int8"], "int8"), (["--int8", "--fp16"], "int8-fp16"), ([], "fp32")],
)
def test_a_package_becomes_a_package_that_runs(capsys, tmp_path, package, pictures, flags, kind):
    output = tmp_path / "out" / "typed.edgesr"
    said = build(capsys, package, *flags, "--calib", pictures, "-o", output, "--target", "onnx")
    typed = open_package(output)
    verify(typed)
    assert typed.descriptor.name == ("tiny" if kind == "fp32" else f"tiny-{kind}")
    assert typed.read("LICENSE.txt") == b"free"
    precision = typed.descriptor.precision
    assert precision is not None
    assert precision["kind"] == said["kind"] == kind
    assert precision["made_from"] == open_package(package).digest
    assert precision["calibration"]["runs"] == 3
    assert str(tmp_path) not in typed.descriptor.to_json()
    assert precision["against_fp32"]["pictures"] == 3
    assert (precision.get("int8_layers") or ["none"]) == (["#1", "#2"] if "int8" in kind else ["none"]) or (
        len(precision["int8_layers"]) == 3
    )
    picture = np.random.default_rng(0).random((20, 24)).astype(np.float32)
    with load(package) as reference, load(output) as candidate:
        assert np.abs(reference(picture) - candidate(picture)).max() < (0.05 if "int8" in kind else 1e-3)


@pytest.mark.parametrize("sides", [(40, 48), (400, 480)])
def test_small_fixed_tiles_cost_a_few_runs_however_large_the_pictures_are(capsys, tmp_path, sides):
    network = networks.convolution_x(tmp_path / "n.onnx", depth=4, size=16)
    descriptor = ModelDescriptor(
        name="tiles",
        version="1.0.0",
        task="restore",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
        scale=2,
        input_channels=1,
        output_channels=1,
        input=Preprocessing(color="grey"),
        size=SizeRequirements(fixed=(16, 16)),
    )
    package = write_package(tmp_path / "tiles.edgesr", descriptor, {"network.onnx": network})
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (*sides, 1), np.uint8)
    for name in ("a.png", "b.png"):
        write(folder / name, Picture((noise,)))
    said = build(capsys, package, "--int8", "--calib", folder, "-o", tmp_path / "typed.edgesr", "--target", "onnx")
    assert said["calibration"]["data"] == "8 tiles of 16 x 16 out of 2 of 2 pictures in pictures"
    assert said["calibration"]["runs"] == said["against_fp32"]["pictures"] == 8
    assert " at " in said["against_fp32"]["worst_picture"]


def test_two_builds_give_the_same_bytes(capsys, tmp_path, package, pictures):
    first, second = tmp_path / "a.edgesr", tmp_path / "b.edgesr"
    for output in (first, second):
        build(capsys, package, "--int8", "--calib", pictures, "-o", output, "--target", "onnx")
    assert first.read_bytes() == second.read_bytes()


def test_a_bare_file_becomes_a_bare_file_that_says_what_it_is(capsys, tmp_path, package, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "--onnx", "n.onnx", "--fp16", "--calib", str(pictures), "--channel-order", "grey"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "n-fp16.onnx\n"
    assert "nodes in FP16" in shown.err
    assert "runs on any CPU; no engine was built: TensorRT is not here" in shown.err
    assert "carries the output picture" in shown.err
    graph = Graph.read(tmp_path / "n-fp16.onnx")
    assert HALF in graph.types.values()
    assert graph.types["image"] == FLOAT


def test_fp16_pictures_in_and_out_are_described_and_run(capsys, tmp_path, package, pictures):
    output = tmp_path / "half"
    build(capsys, package, "--fp16", "--io", "fp16", "--calib", pictures, "-o", output)
    assert open_package(output).descriptor.input.dtype == "float16"
    with load(output) as restore:
        assert restore(np.zeros((8, 8), np.uint8)).shape == (16, 16)


def test_a_missed_gate_exits_5_names_picture_and_layer_and_writes_nothing(capsys, tmp_path, package, pictures):
    output = tmp_path / "typed.edgesr"
    words = ["build", str(package), "--int8", "--calib", str(pictures), "-o", str(output), "--min-psnr", "150"]
    assert main(words) == 5
    error = capsys.readouterr().err
    assert "PSNR" in error
    assert ".png" in error
    assert "the layer that loses most is" in error
    assert not output.exists()


def test_only_plain_fp32_models_are_lowered(capsys, tmp_path, package, pictures):
    lowered, embedded = tmp_path / "h.edgesr", tmp_path / "e.edgesr"
    words = ["--calib", pictures, "--target", "onnx"]
    build(capsys, package, "--fp16", *words, "-o", lowered)
    build(capsys, package, "--embed-io", *words, "-o", embedded)
    for source, text in (
        (lowered, "model tiny-fp16 is in fp16 already; give --int8 the FP32 model that it was made of"),
        (embedded, "build the model that it was made of with --int8 and --embed-io uint8 together"),
    ):
        assert main(["build", str(source), "--int8", *map(str, words), "-o", str(tmp_path / "x.edgesr")]) == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "x.edgesr").exists()


def test_auto_takes_what_the_gate_allows(capsys, tmp_path, package, pictures):
    said = build(capsys, package, "--auto", "--min-psnr", "30", "--calib", pictures, "-o", tmp_path / "a.edgesr")
    assert said["kind"] == "int8-fp16"
    said = build(capsys, package, "--auto", "--min-psnr", "110", "--calib", pictures, "-o", tmp_path / "b.edgesr")
    assert {trial["passed"] for trial in said["trials"]} == {True, False}
    assert said["against_fp32"]["min_psnr"] is None or said["against_fp32"]["min_psnr"] >= 110


def test_auto_without_pictures_tries_no_int8(capsys, tmp_path, package):
    said = build(capsys, package, "--auto", "-o", tmp_path / "a.edgesr")
    assert {trial["precision"] for trial in said["trials"]} == {"fp16"}
    assert any("INT8 was not tried" in text for text in said["notes"])


def test_the_commands_of_the_manual_are_understood():
    page = (Path(__file__).parents[2] / "docs" / "build.md").read_text("utf-8")
    commands = [line.partition("#")[0].split() for line in page.splitlines() if line.startswith("edgesr build ")]
    assert len(commands) >= 5
    for words in commands:
        assert build_parser().parse(words[1:]).command == "build"


def test_without_pictures_fp16_is_built_on_drawn_ones_and_int8_is_refused(capsys, tmp_path, package):
    said = build(capsys, package, "--fp16", "-o", tmp_path / "a.edgesr")
    assert "drawn pictures" in said["calibration"]["data"]
    assert main(["build", str(package), "--int8", "-o", str(tmp_path / "b.edgesr")]) == 2
    assert "give a folder with --calib" in capsys.readouterr().err


def test_a_network_of_tensors_is_compared_tensor_by_tensor(capsys, tmp_path):
    samples.attention(tmp_path)
    source, output = tmp_path / "attention.onnx", tmp_path / "typed.onnx"
    said = build(capsys, "--onnx", source, "--fp16", "-o", output)
    assert any("no picture-to-picture model" in text for text in said["notes"])
    assert "softmax" in said["fp32_nodes"]
    assert said["against_fp32"]["min_ssim"] is None
    assert said["against_fp32"]["min_psnr"] > 60
    feeds = tmp_path / "feeds"
    feeds.mkdir()
    for index, feed in enumerate(samples.feeds(shape=(1, 9, 16))):
        np.savez(feeds / f"{index}.npz", **feed)
    said = build(capsys, "--onnx", source, "--int8", "--calib", feeds, "--min-psnr", "20", "-o", output)
    assert said["int8_layers"] == ["query", "out"]
    np.savez(feeds / "0.npz", other=np.zeros(3))
    assert main(["build", "--onnx", str(source), "--fp16", "--calib", str(feeds), "-o", str(output)]) == 6
    assert "has no array 'x'" in capsys.readouterr().err
    (feeds / "0.npz").write_bytes(b"PK\x03\x04 broken")
    assert main(["build", "--onnx", str(source), "--fp16", "--calib", str(feeds), "-o", str(output)]) == 6
    assert main(["build", "--onnx", str(source), "--fp16", "-o", str(tmp_path / "t.edgesr")]) == 2


@pytest.mark.parametrize("flags", [["--fp16"], ["--int8"], ["--int8", "--fp16"]])
def test_a_diffusion_unet_keeps_its_norms_and_its_timestep_in_fp32(capsys, tmp_path, flags):
    graph = samples.unet(tmp_path)
    feeds, output = tmp_path / "feeds", tmp_path / "typed.onnx"
    feeds.mkdir()
    rng = np.random.default_rng(0)
    for step in (999, 500, 1):
        noise = rng.standard_normal((1, 4, 16, 16)).astype(np.float32)
        np.savez(feeds / f"{step}.npz", x=noise, t=np.array([step], np.float32))
    limits = ["--min-psnr", "20" if "--int8" in flags else "55"]
    said = build(capsys, "--onnx", tmp_path / "unet.onnx", *flags, "--calib", feeds, *limits, "-o", output)
    if "--fp16" in flags:
        norms = {f"n{i}_norm" for i in range(3)}
        assert norms | {"angles", "sine", "cosine", "embed", "attention"} <= set(said["fp32_nodes"])
        assert not {"enter", "down", "middle", "merge", "leave", "mix"} & set(said["fp32_nodes"])
    if "--int8" in flags:
        assert {"down", "middle", "merge"} <= set(said["int8_layers"])
    typed = Graph.read(output)
    assert typed.types["t"] == FLOAT
    assert typed.outputs == graph.outputs


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "name one model"),
        (["PACKAGE", "--onnx", "x.onnx"], 2, "name one model"),
        (["PACKAGE", "--auto", "--fp16"], 2, "--auto chooses"),
        (["PACKAGE", "--fp16", "--exclude", "("], 2, "no regular expression"),
        (["PACKAGE", "--fp16", "--exclude", "."], 3, "nothing of it can be FP16, mostly because it is excluded"),
        (["PACKAGE", "--fp16", "--min-psnr", "high"], 2, "expected a number"),
        (["PACKAGE", "--fp16", "--target", "engine"], 3, "no engine can be built"),
        (["PACKAGE", "--fp16", "--calib", "nowhere"], 6, "nowhere"),
        (["nothing.edgesr", "--fp16"], 3, "nothing.edgesr"),
        (["--onnx", "nothing.onnx", "--fp16"], 3, "nothing.onnx"),
        (["PACKAGE", "--fp16", "-o", "out.bin"], 2, "name the result .onnx, .edgesr"),
    ],
)
def test_wrong_words_exit_with_one_line(capsys, tmp_path, package, monkeypatch, words, code, text):
    monkeypatch.chdir(tmp_path)
    assert main(["build", *(str(package) if word == "PACKAGE" else word for word in words)]) == code
    shown = capsys.readouterr()
    assert text in shown.err
    assert shown.out == ""


def test_a_file_that_is_no_onnx_is_refused(capsys, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a network")
    assert main(["build", "--onnx", str(tmp_path / "x.onnx"), "--fp16"]) == 3
    assert "not an ONNX" in capsys.readouterr().err
