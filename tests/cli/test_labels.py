"""``edgesr run`` and ``edgesr pack`` with networks that label pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesr.image import Picture, read, write
from tests import networks
from tests.cli.conftest import Call, Models
from tests.cli.pictures import dicom

PLAIN = ("--range", "0,1", "--mean", "0", "--std", "1")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("red\ngreen\nblue\n\n")
    return path


@pytest.fixture
def classifier(call: Call, labels: Path, tmp_path: Path) -> Path:
    networks.color_classifier(tmp_path / "c.onnx")
    target = tmp_path / "colours.edgesr"
    answer = call(
        "pack", tmp_path / "c.onnx", "-o", target, "--task", "classify", "--labels", labels,
        "--resize", "short-side:18", "--crop", "16x16", *PLAIN,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.err == "edgesr: the colour order is taken as rgb\n"
    return target


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture = np.zeros((48, 60, 3), np.uint8)
    picture[..., 2] = 255
    write(tmp_path / "photo.png", Picture((picture,)))
    return tmp_path / "photo.png"


def packed(call: Call, tmp_path: Path, *words: str | Path) -> Any:
    answer = call("pack", tmp_path / "n.onnx", "-o", tmp_path / "n.edgesr", *words, *PLAIN)
    assert answer.code == 0, answer.err
    return tmp_path / "n.edgesr"


def test_the_best_classes_are_printed(call: Call, classifier: Path, photo: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    answer = call("run", photo, "-m", classifier, "--top-k", "2", "--threads", "1")
    assert answer.code == 0
    assert answer.out.splitlines() == ["0.9999\tblue", "0.0000\tred"]
    assert "infer" in answer.err
    assert sorted(tmp_path.iterdir()) == before


def test_classes_are_drawn_where_an_output_is_named(call: Call, classifier: Path, photo: Path, tmp_path: Path) -> None:
    assert call("run", photo, "-m", classifier, "-o", tmp_path / "drawn.png").code == 0
    assert read(tmp_path / "drawn.png").pixels.shape[2] == 3


def test_json_holds_classes_times_and_thresholds(call: Call, classifier: Path, photo: Path) -> None:
    document = call("run", photo, "-m", classifier, "--json", "--top-k", "1").document
    (record,) = document["results"]
    assert [entry["name"] for entry in record["classes"]] == ["blue"]
    assert set(record["timings"]) == {"pre", "h2d", "infer", "d2h", "post", "total"}
    assert (document["task"], document["top_k"], document["failed"]) == ("classify", 1, 0)
    assert document["names"] == ["red", "green", "blue"]


def test_a_folder_goes_on_past_bad_pictures(call: Call, classifier: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    answer = call("run", folder, "-m", classifier, "--top-k", "1")
    assert answer.code == 6
    assert answer.out == f"{folder / 'a.png'}\t0.9999\tblue\n"
    assert "1 labelled, 0 already done, 1 failed" in answer.err


def test_a_segmenter_writes_mask_and_overlay(call: Call, photo: Path, tmp_path: Path) -> None:
    networks.color_segmenter(tmp_path / "n.onnx")
    (tmp_path / "four.txt").write_text("none\nred\ngreen\nblue")
    model = packed(call, tmp_path, "--task", "segment", "--labels", tmp_path / "four.txt")
    answer = call("run", photo, "-m", model)
    assert answer.code == 0, answer.err
    assert answer.out == "1.0000\tblue\n"
    assert (read(tmp_path / "photo_mask.png").pixels == 3).all()
    assert read(tmp_path / "photo_overlay.png").pixels.shape[2] == 3
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "a.png")
    for removed, status in ((None, "done"), (None, "skipped"), ("a_mask.png", "done")):
        if removed is not None:
            (tmp_path / "out" / removed).unlink()
        document = call("run", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--json").document
        assert [record["status"] for record in document["results"]] == [status]


def test_a_detector_writes_boxes_and_resumes(call: Call, photo: Path, tmp_path: Path) -> None:
    networks.fixed_outputs(
        tmp_path / "n.onnx",
        (24, 30),
        boxes=np.array([[3, 4, 12, 20], [3, 4, 12, 19]], np.float32),
        scores=np.array([0.9, 0.6], np.float32),
        labels=np.array([1, 1], np.int64),
    )
    (tmp_path / "two.txt").write_text("cat\ndog")
    model = packed(call, tmp_path, "--task", "detect", "--labels", tmp_path / "two.txt")
    answer = call("run", photo, "-m", model, "--nms", "0.5")
    assert answer.out == "0.9000\tdog\t6.0 8.0 24.0 40.0\n"
    assert read(tmp_path / "photo_boxes.png").pixels.shape[2] == 3
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(photo.read_bytes())
    first = call("run", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--json").document
    assert [len(record["boxes"]) for record in first["results"]] == [2]
    again = call("run", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--json").document
    assert [record["status"] for record in again["results"]] == ["skipped"]
    other = call("run", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--json", "--score", "0.7").document
    assert [len(record["boxes"]) for record in other["results"]] == [1]


def test_two_models_make_a_chain_at_once_or_as_a_package(
    call: Call, classifier: Path, models: Models, photo: Path, tmp_path: Path
) -> None:
    both = f"{models.package}+{classifier}"
    assert call("run", photo, "-m", both, "--top-k", "1").out == "0.9999\tblue\n"
    assert call("pack", both, "-o", tmp_path / "chain.edgesr").code == 0
    document = call("run", photo, "-m", tmp_path / "chain.edgesr", "--json").document
    assert document["results"][0]["size"] == [96, 120]
    assert "restore" in document["results"][0]["timings"]
    assert json.loads(call("inspect", tmp_path / "chain.edgesr", "--json").out)["task"] == "chain"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--uncertainty"], 2, "--uncertainty is for restoration; this model has task classify"),
        (["--tile", "64"], 2, "tile is for restoration; model colours has task classify"),
        (["--fidelity", "1"], 2, "model colours has task classify and no option 'fidelity' (it has: top_k)"),
        (["--nms", "0.4"], 2, "no option 'nms'"),
        (["--score", "2"], 2, "expected a number from 0 to 1, got '2'"),
        (["--top-k", "0"], 2, "expected a whole number from 1 to 65536, got '0'"),
    ],
    ids=range(6),
)
def test_options_of_other_tasks_are_refused(
    call: Call, classifier: Path, photo: Path, words: list[str], code: int, message: str
) -> None:
    answer = call("run", photo, "-m", classifier, *words)
    assert answer.code == code
    assert message in answer.error


def test_thresholds_are_refused_by_a_restoration(call: Call, models: Models, photo: Path) -> None:
    answer = call("run", photo, "-m", models.package, "--top-k", "3")
    assert answer.code == 2
    assert "top_k" in answer.error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "two.txt"], "need --task classify, segment or detect"),
        (
            ["--task", "classify", "--labels", "two.txt"],
            "has 3 classes, --labels names 2; give one line for each",
        ),
        (["--task", "classify", "--labels", "gap.txt"], "line 2 is empty; give one name on each line"),
        (["--task", "classify", "--labels", "empty.txt"], "is empty; give one name on each line"),
        (["--task", "classify", "--resize", "square:3"], "--resize 'square:3': expected short-side:256"),
        (["--task", "classify", "--resize", "exact:3"], "--resize 'exact:3': expected short-side:256"),
        (["--task", "classify", "--crop", "16x16"], "give --resize too"),
        (["--task", "classify", "--no-antialias"], "give --resize too"),
        (["--task", "classify", "--mean", "1,2"], "expected one number or three with commas, got '1,2'"),
    ],
    ids=range(9),
)
def test_bad_wishes_give_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.txt").write_text("a\nb")
    Path("gap.txt").write_text("a\n\nb")
    Path("empty.txt").write_text("\n")
    networks.color_classifier(tmp_path / "c.onnx")
    answer = call("pack", "c.onnx", "-o", "c.edgesr", *words)
    assert answer.code == 2
    assert message in answer.error
    assert not Path("c.edgesr").exists()


def test_sizes_that_contradict_the_network_are_refused(call: Call, tmp_path: Path) -> None:
    networks.color_classifier(tmp_path / "c.onnx")
    answer = call(
        "pack", tmp_path / "c.onnx", "-o", tmp_path / "c.edgesr", "--task", "classify", "--resize", "exact:8x8"
    )
    assert answer.code == 3
    assert "the network takes 16 x 16, resizing and cropping give 8 x 8" in answer.error


def test_drawings_on_dicom_files_are_png(call: Call, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    networks.color_segmenter(tmp_path / "n.onnx")
    model = packed(call, tmp_path, "--task", "segment")
    scans = tmp_path / "scans"
    scans.mkdir()
    dicom(scans / "a.dcm", np.full((20, 24), 200, np.uint8))
    write(scans / "a.png", Picture((np.full((20, 24, 3), 200, np.uint8),)))
    answer = call("run", scans / "a.dcm", "-m", model, "-o", tmp_path / "one/")
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a_mask.png", "a_overlay.png"]
    answer = call("run", scans, "-m", model, "-o", tmp_path / "all")
    assert answer.code == 0, answer.err
    names = sorted(path.name for path in (tmp_path / "all").glob("*.png"))
    assert names == ["a_dcm_mask.png", "a_dcm_overlay.png", "a_png_mask.png", "a_png_overlay.png"]
