"""``edgesr bench`` from the command line: table, files, exit codes, bad input."""

import json

import numpy as np
import pytest

from edgesr.bench.record_json import read_document, write_document
from edgesr.cli import main
from edgesr.image import Metadata, Picture, write
from tests.bench.records import document, row
from tests.pipelines.test_tensorrt import make_package

QUICK = ["--duration", "50ms", "--count", "4", "--warmup", "50ms", "--max-cv", "1000", "--device", "cpu"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return str(make_package(tmp_path_factory.mktemp("models")))


@pytest.fixture
def run(capsys):
    def execute(*words):
        code = main(["bench", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return execute


@pytest.fixture
def steady(monkeypatch):
    """A machine whose times are all believed."""
    monkeypatch.setattr("edgesr.bench.session.find_faults", lambda samples, pictures, limits: [])


def test_without_pictures_the_example_is_used_and_that_is_said(run, steady, package):
    code, out, err = run(package, *QUICK)
    assert code == 0
    assert "no pictures were given: the example chest X-ray" in err
    assert "median ms" in out
    assert "times on onnxruntime:cpu: graph none" in out


def test_json_is_one_document_and_the_file_holds_the_same(run, steady, package, tmp_path):
    code, out, _ = run(package, *QUICK, "--json", "-o", tmp_path / "r.json")
    assert code == 0
    printed = json.loads(out)
    assert printed["rows"] == json.loads((tmp_path / "r.json").read_text())["rows"]
    assert printed["settings"]["pictures"] == ["chest_xray"]
    assert printed["machine"]["cpu"]["source"] == "/proc/cpuinfo"


def test_an_unstable_run_is_marked_and_exits_with_7(run, monkeypatch, package):
    monkeypatch.setattr("edgesr.bench.session.find_faults", lambda *rest: ["unstable: of this test"])
    code, out, _ = run(package, *QUICK)
    assert code == 7
    assert "INVALID" in out
    assert "unstable: of this test" in out


def test_a_model_that_fails_stays_in_the_table_and_exits_with_6(run, steady, package, tmp_path):
    code, out, _ = run(package, tmp_path / "absent.edgesr", *QUICK)
    assert code == 6
    assert "FAILED" in out


def test_a_run_is_resumed_where_it_ended(run, steady, package, tmp_path):
    file = tmp_path / "r.json"
    assert run(package, *QUICK, "--precision", "fp32", "-o", file)[0] == 0
    first = read_document(file).rows[0]
    code, _, err = run(package, *QUICK, "--precision", "fp32", "-o", file, "--resume")
    assert code == 0
    assert "1 of 1 rows are taken" in err
    assert read_document(file).rows == (first,)
    code, _, err = run(package, "--duration", "60ms", *QUICK[2:], "-o", file, "--resume")
    assert code == 2
    assert "duration_s" in err


def test_pairs_of_different_sizes_are_told_and_the_rest_is_measured(run, steady, package, tmp_path):
    for folder, side in (("lr", 16), ("hr", 32)):
        (tmp_path / folder).mkdir()
        for name, extra in (("a", 0), ("b", 7 if folder == "hr" else 0)):
            pixels = np.full((side + extra, side, 1), 99, np.uint8)
            write(tmp_path / folder / f"{name}.png", Picture((pixels,), Metadata(format="PNG")))
    code, out, err = run(package, *QUICK, "--lr", tmp_path / "lr", "--hr", tmp_path / "hr")
    assert code == 6
    assert err.count("b: the reference is 32 x 39") == 1
    assert "median ms" in out


def test_inputs_without_references_have_no_psnr(run, steady, package, tmp_path):
    write(tmp_path / "a.png", Picture((np.full((16, 16, 1), 9, np.uint8),), Metadata(format="PNG")))
    code, out, _ = run(package, *QUICK, "--images", tmp_path, "--json")
    assert code == 0
    quality = json.loads(out)["rows"][0]["quality"]
    assert "psnr" not in quality["mean"]
    assert quality["missing"]["psnr"]["reason"] == "needs a reference picture"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "name at least one model"),
        (["cxr-x4", "--duration", "fast"], 2, "expected a time such as 10s"),
        (["cxr-x4", "--duration", "0s"], 2, "expected a time"),
        (["cxr-x4", "--precision", "fp4"], 2, "expected some of fp32"),
        (["cxr-x4", "--precision", "fp32,fp32"], 2, "names something twice"),
        (["cxr-x4", "cxr-x4"], 2, "a model is named twice"),
        (["cxr-x4", "--images", "EMPTY"], 6, "the folder holds no pictures"),
        (["cxr-x4", "--images", "absent"], 6, "--images absent: there is no such file or folder"),
        (["cxr-x4", "--hr", "absent"], 6, "--hr absent: there is no such file or folder"),
        (["cxr-x4", "--images", "a", "--lr", "b"], 2, "--images is for inputs alone"),
        (["cxr-x4", "--lr", "a", "--downscale", "area"], 2, "--downscale makes inputs"),
        (["cxr-x4", "--resume"], 2, "--resume goes on with the file"),
        (["cxr-x4", "--max-cv", "-1"], 2, "expected a number of percent"),
        (["cxr-x4", "--power-mode", "0"], 3, "--power-mode needs nvpmodel"),
        (["--compare", "absent.json", "b.json"], 2, "cannot read absent.json"),
        (["cxr-x4", "--compare", "a.json", "b.json"], 2, "--compare takes two results and no model"),
    ],
)
def test_bad_input_gets_one_line(run, tmp_path, words, code, told):
    (tmp_path / "empty").mkdir()
    given, _, err = run(*(str(tmp_path / "empty") if word == "EMPTY" else word for word in words))
    assert given == code
    assert told in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_two_results_are_compared(run, tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    write_document(document(row(samples=tuple(10 + n % 3 / 10 for n in range(60)))), old)
    write_document(document(row(samples=tuple(8 + n % 3 / 10 for n in range(60)))), new)
    code, out, _ = run("--compare", old, new)
    assert code == 0
    assert out.startswith("faster  -19.8 %")
    code, out, _ = run("--compare", new, old, "--json")
    assert json.loads(out)["rows"][0]["verdict"] == "slower"


def test_one_row_is_recommended_and_files_are_written(run, steady, package, tmp_path):
    words = ["--budget", "30s", "--markdown", tmp_path / "r.md", "--html", tmp_path / "r.html"]
    code, out, _ = run(package, *QUICK, *words)
    assert code == 0
    assert "recommended: tiny" in out
    assert "## Machine" in (tmp_path / "r.md").read_text()
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "data:image/png" in page
    code, out, _ = run(package, *QUICK, "--min-psnr", "90")
    assert code == 0
    assert "nothing can" in out
    code, _, err = run(package, *QUICK, "--budget", "cheap")
    assert code == 2
    assert "a budget is a number" in err
