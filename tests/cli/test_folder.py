"""``edgesr run`` on folders, globs and lists of pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgesr.image import read
from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture

MANIFEST = "edgesr-manifest.jsonl"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``in`` with three pictures, a text file, a hidden picture and a picture in a subfolder, below the working one."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/b.jpg", "in/c.tif", "in/.hidden.png", "in/deep/d.png"):
        picture(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    return tmp_path


def statuses(document: dict) -> list[str]:
    return [record["status"] for record in document["results"]]


def test_a_folder_is_enlarged_into_a_folder_beside_it(call: Call, models: Models, folder: Path) -> None:
    answer = call("run", "in", "-m", models.package)
    assert (answer.code, answer.out) == (0, f"{folder / 'in_edgesr'}\n")
    assert answer.error == "3 restored, 0 already done, 0 failed"
    assert files(folder / "in_edgesr") == ["a_x2.png", "b_x2.png", "c_x2.tif"]


def test_subfolders_are_taken_when_asked_for_and_keep_their_places(call: Call, models: Models, folder: Path) -> None:
    answer = call("run", "in", "-m", models.package, "-o", "out", "--recursive", "--format", "png", "--suffix", "")
    assert (answer.code, answer.out) == (0, "out\n")
    assert files(folder / "out") == ["a.png", "b.png", "c.png", "deep/d.png"]


def test_globs_keep_places_below_their_fixed_part(call: Call, models: Models, folder: Path) -> None:
    picture(folder / "in/deep/a.png")
    answer = call("run", "in/**/*.png", "-m", models.package, "-o", "out")
    assert (answer.code, answer.error) == (0, "3 restored, 0 already done, 0 failed")
    assert files(folder / "out") == ["a_x2.png", "deep/a_x2.png", "deep/d_x2.png"]


def test_several_files_are_named_one_by_one(call: Call, models: Models, folder: Path) -> None:
    answer = call("run", "in/a.png", "in/b.jpg", "in/a.png", "-m", models.package)
    assert (answer.code, answer.out) == (0, "in/a_x2.png\nin/b_x2.png\n")


def test_dicom_files_without_a_suffix_are_found(call: Call, models: Models, folder: Path) -> None:
    for name in ("IM1", "1.2.840.5"):
        picture(folder / "scan/x.dcm").rename(folder / "scan" / name)
    (folder / "scan/README").write_text("no picture")
    assert call("run", "scan", "-m", models.package).code == 0
    assert files(folder / "scan_edgesr") == ["1.2.840.5_x2.dcm", "IM1_x2.dcm"]


def test_equal_stems_get_the_suffix_into_their_names(call: Call, models: Models, folder: Path) -> None:
    picture(folder / "in/a.bmp")
    assert call("run", "in", "-m", models.package, "--format", "png").code == 0
    assert files(folder / "in_edgesr") == ["a_bmp_x2.png", "a_png_x2.png", "b_x2.png", "c_x2.png"]


def test_two_inputs_for_one_output_are_refused(call: Call, models: Models, folder: Path) -> None:
    answer = call("run", "in/deep/d.png", picture(folder / "d.png"), "-m", models.package, "-o", "out")
    assert (answer.code, "2 inputs would be written here" in answer.error) == (2, True)
    assert not (folder / "out").exists()


def test_a_second_run_does_nothing_again(call: Call, models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.package, "-o", "out", "--json")
    assert statuses(call(*words).document) == ["done"] * 3
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in files(folder / "out")}
    assert statuses(call(*words).document) == ["skipped"] * 3
    assert before == {name: (folder / "out" / name).stat().st_mtime_ns for name in files(folder / "out")}
    assert statuses(call(*words, "--restart").document) == ["done"] * 3


def test_it_resumes_from_another_place_and_after_the_folder_moved(
    call: Call, models: Models, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("run", "in", "-m", models.package, "-o", "out").code == 0
    (folder / "out").rename(folder / "moved")
    monkeypatch.chdir("/")
    answer = call("run", folder / "in", "-m", models.package, "-o", folder / "moved", "--json")
    assert statuses(answer.document) == ["skipped"] * 3


def test_what_changed_is_done_again(call: Call, models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.package, "-o", "out", "--json")
    call(*words)
    picture(folder / "in/a.png", 20, 20)
    assert statuses(call(*words).document) == ["done", "skipped", "skipped"]
    assert read(folder / "out/a_x2.png").pixels.shape == (40, 40, 1)
    os.utime(folder / "in/b.jpg", ns=(1, 1))
    assert statuses(call(*words).document) == ["skipped", "done", "skipped"]
    (folder / "out/c_x2.tif").unlink()
    assert statuses(call(*words).document) == ["skipped", "skipped", "done"]


def test_other_options_or_another_model_do_it_again(call: Call, models: Models, folder: Path) -> None:
    words = ("run", "in", "-o", "out", "--json", "-m")
    call(*words, models.package)
    for change in (["--tta"], ["--quality", "50"], ["--tile", "64"]):
        assert statuses(call(*words, models.package, *change).document) == ["done"] * 3
        assert statuses(call(*words, models.package, *change).document) == ["skipped"] * 3
    assert statuses(call(*words, models.with_uncertainty).document) == ["done"] * 3


def test_a_deleted_error_map_is_made_again(call: Call, models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.with_uncertainty, "-o", "out", "--json")
    assert statuses(call(*words).document) == ["done"] * 3
    assert statuses(call(*words, "--uncertainty").document) == ["done"] * 3
    assert files(folder / "out")[:2] == ["a_x2.png", "a_x2_uncertainty.png"]
    (folder / "out/a_x2_uncertainty.png").unlink()
    assert statuses(call(*words, "--uncertainty").document) == ["done", "skipped", "skipped"]


def test_bad_files_are_listed_and_the_rest_is_done(call: Call, models: Models, folder: Path) -> None:
    (folder / "in/b.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (folder / "in/aa.png").write_bytes(b"")
    words = ("run", "in", "in/none.png", "-m", models.package, "-o", "out")
    answer = call(*words)
    assert (answer.code, answer.out) == (6, "out\n")
    first, *rest = answer.err.splitlines()
    assert first == "edgesr: 2 restored, 0 already done, 3 failed"
    assert [line.split(":")[0] for line in rest] == ["  in/aa.png", "  in/b.jpg", "  in/none.png"]
    assert files(folder / "out") == ["a_x2.png", "c_x2.tif"]
    document = call(*words, "--json").document
    assert (document["failed"], statuses(document)) == (3, ["skipped", "failed", "failed", "skipped", "failed"])
    picture(folder / "in/b.jpg")
    assert call("run", "in/b.jpg", "in/a.png", "-m", models.package, "-o", "out").code == 0


@pytest.mark.parametrize("line", ["", "{", "[]", "1", '{"output": 5}', '{"output": "a_x2.png", "status": "done"}'])
def test_a_damaged_manifest_costs_work_but_nothing_else(call: Call, models: Models, folder: Path, line: str) -> None:
    words = ("run", "in", "-m", models.package, "-o", "out", "--json")
    call(*words)
    with (folder / "out" / MANIFEST).open("a") as manifest:
        manifest.write(line)
    document = call(*words).document
    assert document["failed"] == 0
    assert statuses(call(*words).document) == ["skipped"] * 3


def test_outputs_inside_the_input_folder_are_not_inputs(call: Call, models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.package, "-o", "in/out", "--recursive", "--json")
    assert statuses(call(*words).document) == ["done"] * 4
    (folder / "in/out" / MANIFEST).unlink()
    assert statuses(call(*words).document) == ["done"] * 4
    assert files(folder / "in/out") == ["a_x2.png", "b_x2.png", "c_x2.tif", "deep/d_x2.png"]


def test_a_folder_may_be_enlarged_into_itself_and_resumes(call: Call, models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.with_uncertainty, "-o", "in", "--uncertainty", "--json")
    assert statuses(call(*words).document) == ["done"] * 3
    assert statuses(call(*words).document) == ["skipped"] * 3
    assert "a_x2_x2.png" not in files(folder / "in")


def test_an_output_that_would_replace_another_input_is_refused(call: Call, models: Models, folder: Path) -> None:
    kept = picture(folder / "in/a_x2.png", seed=5).read_bytes()
    for words in (["in", "-o", "in"], ["in/a.png", "in/a_x2.png"], ["in/*.png"]):
        answer = call("run", *words, "-m", models.package)
        assert (answer.code, "the output of in/a.png would replace this input" in answer.error) == (2, True)
    assert (folder / "in/a_x2.png").read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["in/deep", "-o", "x.png"], 2, "names a file"),
        (["in", "-o", "in/a.png"], 2, "names a file"),
        (["in", "-o", "in/notes.txt"], 6, "in/notes.txt"),
        (["empty"], 6, "holds no pictures"),
        (["above"], 6, "--recursive"),
        (["*.nothing"], 6, "no file matches"),
        (["in", "-o", "taken"], 6, "taken/edgesr-manifest.jsonl"),
        (["/", "--recursive"], 2, "-o"),
        (["in", "--format", "gif"], 2, "png"),
        (["in", "--suffix", "a/b"], 2, "slash"),
    ],
)
def test_contradictions_are_said_before_any_work(
    call: Call, models: Models, folder: Path, words: list[str], code: int, reason: str
) -> None:
    (folder / "empty").mkdir()
    picture(folder / "above/below/a.png")
    (folder / "taken" / MANIFEST).mkdir(parents=True)
    before = files(folder)
    answer = call("run", *words, "-m", models.package)
    assert (answer.code, reason in answer.error) == (code, True), answer.err
    assert files(folder) == before


def test_names_that_look_like_patterns_are_names(call: Call, models: Models, folder: Path) -> None:
    picture(folder / "set [1]/a[0].png")
    assert call("run", "set [1]", "-m", models.package, "-o", "out").code == 0
    assert call("run", "set [1]/a[0].png", "-m", models.package, "-o", "out/b.png").code == 0
    assert files(folder / "out") == ["a[0]_x2.png", "b.png"]
