"""``edgesr build`` of packages that label pictures, and of chains: gated in the metric of their task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.cli.build_report import kept
from edgesr.compile.engine_cache import EngineCache
from edgesr.compile.fp16 import HalfReport
from edgesr.compile.gate import Agreement, Thresholds, Verdict
from edgesr.compile.quality import Difference
from edgesr.compile.typed import Options, Typed
from edgesr.image import Picture, write
from edgesr.model import ModelDescriptor, Part, open_package, pack, verify, write_package
from edgesr.model.chain import stages, write_chain
from edgesr.pipelines.agreement import agreement, matched
from edgesr.pipelines.label_result import Classification, Detections, Segmentation
from edgesr.pipelines.load import cpu_probe, load
from tests import networks
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.test_tensorrt import Machine

PLAIN = {"range": [0, 1], "mean": [0], "std": [1]}
NAMES = {"classify": ["red", "green", "blue"], "segment": ["none", "red", "green", "blue"], "detect": ["r", "g", "b"]}
METRICS = {"classify": "top-1 agreement", "segment": "mIoU agreement", "detect": "box agreement"}
Make = Callable[..., Path]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index in range(4):
        picture = rng.integers(0, 60, (40, 48, 3), np.uint8)
        picture[:20, :24, index % 3] = 250
        picture[20:, 24:, (index + 1) % 3] = 200
        write(folder / f"p{index}.png", Picture((picture,)))
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def packed(task: str, **options: Any) -> Path:
        network = networks.wide_colors(tmp_path / f"{task}.onnx", task, **options)
        said = {"task": task, "labels": NAMES[task], "input": {**PLAIN, "resize": {"rule": "exact", "size": [32, 32]}}}
        target = tmp_path / f"{task}.edgesr"
        pack(network, target, name=task, version="1", overrides=said, probe=cpu_probe)
        return target

    return packed


def build(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    code = main(["build", *map(str, words), "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return json.loads(shown.out)


@pytest.mark.parametrize("task", METRICS)
@pytest.mark.parametrize("flags", [["--fp16"], ["--int8"], ["--int8", "--fp16"]], ids=" ".join)
def test_a_labelling_package_is_built_and_gated_in_its_own_metric(capsys, tmp_path, make, pictures, task, flags):
    output = tmp_path / "typed.edgesr"
    said = build(capsys, make(task), *flags, "--calib", pictures, "-o", output, "--target", "onnx")
    typed = open_package(output)
    verify(typed)
    kind = "int8-fp16" if len(flags) == 2 else flags[0][2:]
    assert typed.descriptor.name == f"{task}-{kind}"
    found = said["against_fp32"]["agreement"]
    assert (found["metric"], found["value"]) == (METRICS[task], pytest.approx(1.0, abs=0.02))
    assert typed.descriptor.precision["against_fp32"] == said["against_fp32"]
    assert said["against_fp32"]["min_psnr"] > (25 if "int8" in kind else 50)
    assert said["calibration"]["data"] == "4 of 4 pictures in pictures"
    assert ("int8_layers" in said) == ("int8" in kind)
    with load(output, "cpu") as label:
        assert label.task == task
        assert label.predict(pictures)[0].names == tuple(NAMES[task])


def test_a_missed_agreement_exits_5_names_the_picture_and_writes_nothing(capsys, tmp_path, make, pictures):
    output = tmp_path / "typed.edgesr"
    words = ["build", make("segment"), "--int8", "--calib", pictures, "-o", output, "--min-agreement", "1.1"]
    assert main([*map(str, words)]) == 5
    error = capsys.readouterr().err
    assert "the mIoU agreement" in error
    assert "is below 1.1, least on p" in error
    assert "allow more with --min-psnr, --max-abs, --min-agreement" in error
    assert not output.exists()


def test_limits_of_the_other_kind_of_network_are_refused(capsys, tmp_path, make, pictures):
    assert main(["build", str(make("classify")), "--fp16", "--min-ssim", "0.9", "--calib", str(pictures)]) == 2
    assert "--min-ssim is for networks that make pictures" in capsys.readouterr().err
    assert main(["build", "cxr-x4-fast", "--fp16", "--min-agreement", "0.9"]) == 2
    assert "--min-agreement is for networks that label pictures" in capsys.readouterr().err
    assert main(["build", str(make("classify")), "--tile", "64"]) in (2, 3)


def test_int8_without_pictures_is_refused_and_fp16_uses_drawn_ones(capsys, tmp_path, make):
    assert main(["build", str(make("classify")), "--int8", "-o", str(tmp_path / "a.edgesr")]) == 2
    assert "give a folder with --calib" in capsys.readouterr().err
    said = build(capsys, make("classify"), "--fp16", "-o", tmp_path / "a.edgesr")
    assert said["calibration"]["data"].startswith("drawn pictures")


def test_a_detector_that_finds_nothing_says_that_no_agreement_was_measured(capsys, tmp_path, make):
    dark = tmp_path / "dark"
    dark.mkdir()
    write(dark / "dark.png", Picture((np.full((32, 32, 3), 9, np.uint8),)))
    said = build(capsys, make("detect"), "--fp16", "--calib", dark, "-o", tmp_path / "a.edgesr")
    assert "agreement" not in said["against_fp32"]
    assert any("no agreement was measured" in text for text in said["notes"])


def test_a_detector_that_chooses_its_boxes_itself_needs_some(capsys, tmp_path, pictures):
    outputs = {
        "boxes": np.array([[4, 4, 20, 20]], np.float32),
        "scores": np.array([0.9], np.float32),
        "labels": np.array([1], np.int64),
    }
    network = networks.fixed_outputs(tmp_path / "d.onnx", (32, 32), **outputs)
    target = tmp_path / "d.edgesr"
    said = {"task": "detect", "labels": ["none", "cat"], "input": PLAIN}
    pack(network, target, name="d", version="1", overrides=said, probe=cpu_probe)
    found = build(capsys, target, "--fp16", "--calib", pictures, "-o", tmp_path / "a.edgesr")
    assert found["against_fp32"]["agreement"]["value"] == 1
    pack(network, target, name="d", version="1", overrides={**said, "prediction": {"score": 0.95}}, probe=cpu_probe)
    assert main(["build", str(target), "--fp16", "--calib", str(pictures), "-o", str(tmp_path / "b.edgesr")]) == 6
    assert "finds nothing above its score in the 4 pictures" in capsys.readouterr().err


def test_an_old_opset_is_raised_for_int8(capsys, tmp_path, make, pictures):
    package = make("classify", opset=11)
    said = build(capsys, package, "--int8", "--calib", pictures, "-o", tmp_path / "a.edgesr")
    assert "opset 11 became 13, the first with scales per channel" in said["notes"]


@pytest.fixture
def chain(tmp_path: Path, make: Make) -> Path:
    descriptor = ModelDescriptor(
        name="twice",
        version="1.0.0",
        task="restore",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
        scale=2,
        receptive_field=3,
    )
    path = networks.convolution_x(tmp_path / "n.onnx", channels=3)
    restore = write_package(tmp_path / "twice.edgesr", descriptor, {"network.onnx": path})
    target = tmp_path / "both.edgesr"
    write_chain(target, open_package(restore), open_package(make("segment")), name="both", version="1")
    return target


def test_both_networks_of_a_chain_are_built_and_the_chain_is_compared_with_fp32(capsys, tmp_path, chain, pictures):
    output = tmp_path / "typed.edgesr"
    said = build(capsys, chain, "--int8", "--calib", pictures, "-o", output, "--target", "onnx")
    restore, task = stages(open_package(output))
    assert (restore.descriptor.name, task.descriptor.name) == ("twice-int8", "segment-int8")
    assert said["restore"]["against_fp32"]["min_ssim"] > 0.95
    assert said["task"]["against_fp32"]["agreement"]["metric"] == "mIoU agreement"
    assert said["agreement"]["value"] > 0.9
    with load(output, "cpu") as typed, load(chain, "cpu") as reference:
        both = [p(np.full((20, 20, 3), (250, 3, 3), np.uint8)).mask for p in (typed, reference)]
    np.testing.assert_array_equal(*both)
    assert main(["build", str(chain), "--fp16", "--target", "onnx", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "would build: both-fp16.edgesr\n"
    assert "the whole chain against FP32: mIoU agreement" in shown.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--fp16", "-o", "x.engine", "--dry-run"], "is a chain of two networks; --target engine builds both"),
        (["--auto"], "--auto looks at one network"),
        (["--int8"], "give a folder with --calib"),
    ],
)
def test_what_a_chain_cannot_do_is_said(capsys, chain, words, text):
    assert main(["build", str(chain), *words]) == 2
    assert text in capsys.readouterr().err


def test_a_chain_of_which_nothing_can_be_fp16_is_refused(capsys, tmp_path, chain, pictures):
    output = tmp_path / "typed.edgesr"
    words = ["--fp16", "--exclude", ".", "--calib", pictures, "-o", output, "--target", "onnx"]
    assert main(["build", str(chain), *map(str, words)]) == 3
    assert "model both: nothing of its networks can be FP16; keep FP32" in capsys.readouterr().err
    assert not output.exists()


def test_a_chain_that_loses_too_much_is_not_written(capsys, tmp_path, chain, pictures):
    output = tmp_path / "typed.edgesr"
    words = ["--fp16", "--calib", pictures, "-o", output, "--min-agreement", "1.1", "--target", "onnx"]
    assert main(["build", str(chain), *map(str, words)]) == 5
    assert "is below 1.1" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
@pytest.mark.parametrize("task", METRICS)
def test_engines_of_labelling_packages_run_as_on_the_cpu(version, task, monkeypatch, tmp_path, capsys, make, pictures):
    machine = Machine(version, monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package = make(task, side=None if task == "segment" else 32)
    output = tmp_path / "typed.edgesr"
    said = build(capsys, package, "--int8", "--calib", pictures, "-o", output, "--target", "engine")
    assert said["engine"]["proof"]["agreement"]["metric"] == METRICS[task]
    notes: list[str] = []
    with load(output, "tensorrt", note=notes.append) as engine, load(output, "cpu", threads=1) as reference:
        for a, b in zip(engine.predict(pictures), reference.predict(pictures), strict=True):
            assert a.predictions() == b.predictions()
    assert notes == []
    assert len(EngineCache().entries()) == 1
    machine.fake.check()


def detections(boxes: list[list[float]], cls: list[int], conf: list[float] | None = None) -> Detections:
    scores = np.array(conf or [0.9] * len(boxes), np.float32)
    return Detections(
        names=(),
        timings={},
        meta={},
        picture=np.zeros((100, 100, 3), np.uint8),
        metadata=None,
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        conf=scores,
        cls=np.array(cls, np.int64),
    )


def test_boxes_are_the_same_when_class_and_half_of_the_area_agree():
    ours = detections([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]], [1, 2, 1])
    theirs = detections([[0, 0, 10, 8], [50, 50, 70, 70], [1, 0, 10, 10]], [1, 1, 1], [0.8, 0.9, 0.5])
    assert [list(pairs) for pairs in matched(ours, theirs)] == [[0], [0]]
    found = agreement(["a.png"], [ours], [theirs])
    assert found == Agreement("box agreement", pytest.approx(2 / 6), "a.png")
    nothing = detections([], [])
    assert agreement(["a.png"], [nothing], [nothing]) is None
    assert agreement(["a.png"], [ours], [nothing]).value == 0


def test_masks_agree_as_the_mean_over_classes_and_classes_by_the_best():
    fields = {"names": (), "timings": {}, "meta": {"top_k": 1}, "picture": None, "metadata": None}
    a, b = (Segmentation(**fields, mask=np.array([row], np.uint8), scores=None) for row in ([0, 0, 1, 3], [0, 1, 1, 3]))
    found = agreement(["a.png", "b.png"], [a, b], [b, b])
    # Of 8 pixels class 0 has 2 of 3, class 1 has 3 of 4, class 3 both.
    assert found.value == pytest.approx((2 / 3 + 3 / 4 + 1) / 3)
    assert found.worst_picture == "a.png"
    one, two = (Classification(**fields, scores=np.array(row, np.float32)) for row in ([0.6, 0.4], [0.1, 0.9]))
    assert agreement(["a.png", "b.png"], [one, two], [one, one]) == Agreement("top-1 agreement", 0.5, "b.png")


def test_a_verdict_with_too_little_agreement_fails():
    verdict = Verdict((("a.png", Difference(80, float("nan"), 0.0)),), Agreement("box agreement", 0.8, "a.png"))
    assert verdict.failures(Thresholds(min_psnr=60, min_agreement=0.8)) == []
    (failure,) = verdict.failures(Thresholds(min_psnr=60, min_agreement=0.81))
    assert failure == "the box agreement 0.8000 is below 0.81, least on a.png"


def test_reasons_that_differ_by_their_figures_are_told_once():
    reasons = {"a": "activations stay below 1.5e-05, where FP16 loses bits", "c": "Softmax has a wide range"}
    reasons["b"] = "activations stay below 7e-10, where FP16 loses bits"
    half = HalfReport(reasons, float_nodes=9, half_nodes=6, weights=0, zeroed=0, subnormal=0, casts=0, share=1.0)
    typed = Typed(None, "fp16", Options(), half)
    assert kept(typed) == [
        "2 in FP32: activations stay below 1.5e-05, where FP16 loses bits (e.g. a)",
        "1 in FP32: Softmax has a wide range (e.g. c)",
    ]
