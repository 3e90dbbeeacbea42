"""``edgesr bench`` of networks that label pictures: right labels, agreement with FP32, what is missing."""

import json

import numpy as np
import pytest

from edgesr.cli import main
from tests.bench.label_data import COLORS, classifier, folder_of_classes, save, segmenter
from tests.cli.test_bench import QUICK
from tests.pipelines.test_tensorrt import make_package


@pytest.fixture
def bench(capsys, monkeypatch):
    monkeypatch.setattr("edgesr.bench.session.find_faults", lambda samples, pictures, limits: [])

    def execute(*words):
        code = main(["bench", *map(str, words), *QUICK, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return execute


@pytest.fixture
def lowered(monkeypatch, tmp_path):
    """A lower precision that takes red for green and green for red."""
    other = classifier(tmp_path / "lowered", ("green", "red", "blue"))
    monkeypatch.setattr("edgesr.bench.opening.build_lowered", lambda *rest, **options: (other, "made by a test"))


def test_the_subfolders_of_labels_are_the_classes(bench, tmp_path):
    code, found, _ = bench(classifier(tmp_path / "m"), "--labels", folder_of_classes(tmp_path / "p"))
    quality = found["rows"][0]["quality"]
    assert code == 0
    assert quality["values"] == pytest.approx({"top1": 6 / 7, "balanced": (2 / 3 + 1 + 1) / 3})
    assert quality["classes"]["red"] == pytest.approx({"pictures": 3, "accuracy": 2 / 3})
    assert sorted(row["name"] for row in quality["pictures"] if not row["top1"]) == ["red/wrong"]
    assert len(found["settings"]["pictures"]) == 7


def test_a_lower_precision_stands_beside_fp32_that_was_not_asked_for(bench, lowered, tmp_path):
    pictures = folder_of_classes(tmp_path / "p")
    _, found, _ = bench(classifier(tmp_path / "m"), "--labels", pictures, "--precision", "fp16")
    quality = found["rows"][0]["quality"]
    assert quality["values"]["top1"] == pytest.approx(2 / 7)
    assert quality["values"]["agreement"] == pytest.approx(1.0)  # the same class by number, under other names
    assert quality["delta_fp32"]["top1"] == pytest.approx(2 / 7 - 6 / 7)


def test_without_labels_the_agreement_with_fp32_judges(bench, monkeypatch, tmp_path):
    sees_red = segmenter(tmp_path / "red")
    monkeypatch.setattr("edgesr.bench.opening.build_lowered", lambda *rest, **options: (sees_red, ""))
    pictures = folder_of_classes(tmp_path / "p")
    code, found, err = bench(
        segmenter(tmp_path / "m"), "--images", pictures / "red", "--precision", "fp32,fp16", "--min-accuracy", "0.9"
    )
    assert code == 0
    first, second = (row["quality"] for row in found["rows"])
    assert first["values"] == second["values"] == {"agreement": 1.0}
    assert "give --masks" in first["missing"]["miou"]
    assert "agreement with FP32 1.0000" in found["recommendation"]["sentence"]
    assert "not compared with the truth" in err or "not compared" in str(found["rows"][0]["notes"])


def test_masks_give_the_intersection_over_union(bench, tmp_path):
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, :16], half[:, 16:] = COLORS["red"], COLORS["blue"]
    save(tmp_path / "p" / "a.png", half)
    save(tmp_path / "m" / "a.png", np.repeat([[1] * 16 + [3] * 8 + [2] * 8], 32, axis=0).astype(np.uint8)[..., None])
    _, found, _ = bench(segmenter(tmp_path / "n"), "--images", tmp_path / "p", "--masks", tmp_path / "m")
    assert found["rows"][0]["quality"]["values"]["miou"] == pytest.approx((1 + 0 + 0.5) / 3)


def test_a_chain_is_given_small_pictures_where_a_downscaler_is_named(bench, tmp_path):
    pictures = folder_of_classes(tmp_path / "p")
    chain = f"{make_package(tmp_path, channels=3)}+{classifier(tmp_path / 'm')}"
    _, found, _ = bench(chain, "--labels", pictures, "--images", pictures, "--downscale", "area")
    (row,) = found["rows"]
    assert row["input_size"] == [10, 10, 3]
    assert row["quality"]["options"]["shrunk_by"] == {"kernel": "area", "scale": 2}


def test_a_wrong_label_is_told_and_the_times_stay(bench, tmp_path):
    pictures = folder_of_classes(tmp_path / "p")
    save(pictures / "purple" / "0.png", np.full((20, 20, 3), 90, np.uint8))
    code, found, _ = bench(classifier(tmp_path / "m"), "--labels", pictures)
    (row,) = found["rows"]
    assert code == 6
    assert row["status"] == "valid"
    assert row["stages"]["end_to_end"]["samples"]
    assert "'purple' is no class of the model" in row["quality"]["failures"]["purple/0"]
    assert row["quality"]["values"]["top1"] == pytest.approx(6 / 7)


def test_rows_of_two_tasks_each_have_a_best_choice(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("edgesr.bench.session.find_faults", lambda samples, pictures, limits: [])
    pictures, page = folder_of_classes(tmp_path / "p"), tmp_path / "r.html"
    words = [make_package(tmp_path, channels=3), classifier(tmp_path / "m"), "--labels", pictures, "--images", pictures]
    assert main(["bench", *map(str, words), "--downscale", "area", *QUICK, "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert out.count("best") == 3
    assert "a better PSNR or a better top-1" in out
    assert "7 classes" not in page.read_text()
    assert "3 classes" in page.read_text()
    assert ">found</span>" in page.read_text()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--labels", "absent.csv"], 6, "the labels cannot be read"),
        (["--labels", "EMPTY"], 6, "the folder holds no pictures"),
        (["--masks", "absent"], 6, "no such file or folder"),
        (["--annotations", "absent.json"], 6, "no such file or folder"),
        (["--masks", "EMPTY"], 2, "--masks says what pictures show; name them with --images"),
        (["--label-column", "x"], 2, "give it with --labels FILE.csv"),
        (["--classes", "3"], 2, "name their folder with --masks"),
        (["--min-accuracy", "98"], 2, "at most 1, got '98'"),
        (["--min-accuracy", "0.9", "--min-psnr", "30"], 2, "give one of them"),
    ],
)
def test_bad_input_gets_one_line(capsys, tmp_path, words, code, told):
    (tmp_path / "empty").mkdir()
    given = main(["bench", "cxr-x4", *(str(tmp_path / "empty") if word == "EMPTY" else word for word in words)])
    err = capsys.readouterr().err
    assert given == code
    assert told in err
    assert len(err.strip().splitlines()) == 1
