"""The runtime benchmark from end to end with few samples, and its parts on made-up results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.environment import Environment, record_environment
from benchmarks.runtime.command import Plan, Results
from benchmarks.runtime.memory import Footprint, peak_memory
from benchmarks.runtime.networks import Subject, picture, third_party
from benchmarks.runtime.overhead import Comparison, against_pytorch
from benchmarks.runtime.report import render
from benchmarks.runtime.start import Start
from tests.networks import convolution_x

MIB = 1 << 20


@pytest.fixture
def made_up() -> Results:
    environment = Environment("2026-11-21", "a machine", "x86_64-2c-amd", "Linux 6", {"numpy": "2.0"}, "abc123", 0.0)
    return Results(
        environment,
        Plan(256, 3, 2, 2, (64,), 2),
        0.9,
        [Start("edgesr --help", [0.1, 0.2, 0.3], [0.1, 0.1, 0.1])],
        [Comparison("good", [1.01] * 4, [1.0] * 4), Comparison("bad", [1.1] * 4, [1.0] * 4)],
        [Comparison("good", [0.5], [1.0]), Comparison("odd", [], [], "left out: no PyTorch")],
        [Footprint("good", 64, 2.0, 300 * MIB, 100 * MIB)],
    )


def test_the_report_judges_against_the_target(made_up):
    lines = render(made_up).splitlines()
    good, bad = (next(line for line in lines if line.startswith(f"| {name} | 1")) for name in ("good", "bad"))
    assert "| 1.00 (1.00 - 1.00) | yes |" in good
    assert "| 10.00 (10.00 - 10.00) | no |" in bad
    assert "| good | 2.00 (2.00 - 2.00) | 1.00 (1.00 - 1.00) | 2.00 (2.00 - 2.00) |" in lines
    assert "| odd | left out: no PyTorch |  |  |" in lines
    assert "| good | 64 x 64 | 2.00 | 0.002 | 300 | 200 |" in lines
    assert "| `edgesr --help` | 0.20 [0.10 - 0.30] | 0.10 [0.10 - 0.10] |" in lines
    assert not [line for line in lines if "Preliminary" in line]


def test_a_busy_machine_makes_the_report_preliminary(made_up):
    busy = Environment("2026-11-21", "a machine", "kind", "Linux", {}, "abc123", 0.9)
    assert "**Preliminary" in render(Results(**{**vars(made_up), "environment": busy}))


def test_the_environment_names_versions_but_nobody():
    environment = record_environment()
    assert {"edgesr", "python", "numpy", "onnxruntime"} <= set(environment.versions)
    assert "/" not in environment.kind


def test_pictures_have_contrast_and_do_not_depend_on_the_rows_around():
    large = picture(300, 200)
    assert large.dtype == np.uint8
    assert large.shape == (300, 200)
    assert large.std() > 20


def test_a_network_that_is_no_shipped_one_is_left_out_of_the_pytorch_table(tmp_path):
    pytest.importorskip("torch")
    subject = Subject("elsewhere", str(convolution_x(tmp_path / "n.onnx", scale=4)), picture(64, 64))
    comparison = against_pytorch(subject, threads=1, rounds=1)
    assert (comparison.first, comparison.note) == ([], "left out: export/models/cxr.py does not build elsewhere")


def test_the_third_party_network_runs_as_it_is(tmp_path):
    subject = Subject(
        "third", str(third_party(tmp_path / "theirs.onnx", depth=3, width=8)), np.stack([picture(64, 48)] * 3, axis=-1)
    )
    with subject.load(1) as restorer:
        assert restorer(subject.picture).shape == (256, 192, 3)
    assert [value.shape for value in subject.feeds().values()] == [(1, 3, 64, 48)]


def test_peak_memory_is_that_of_this_process():
    before = peak_memory()
    block = np.ones(200 * MIB, np.uint8)
    assert peak_memory() > before + 100 * MIB or peak_memory() > block.nbytes


def test_every_benchmark_is_listed(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in BENCHMARKS)


@pytest.mark.slow
def test_a_quick_run_writes_its_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = convolution_x(tmp_path / "theirs.onnx", scale=4, depth=4)
    assert main(["runtime", "--quick", "--out", str(tmp_path / "out"), "--model", str(network)]) == 0
    text = capsys.readouterr().out
    (document,) = (tmp_path / "out").glob("runtime-*.json")
    assert document.with_suffix(".md").read_text() == text.removesuffix("\n")
    results = json.loads(document.read_text())
    assert len(results["overhead"][0]["first"]) == 3
    assert [item["side"] for item in results["memory"]] == [64, 256]
    assert "Overhead over bare ONNX Runtime" in text
