"""Which runtime ``auto`` takes on a CPU; the runtimes are doubles whose speed and numbers are given."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.compile.choices import ChoiceStore
from edgesr.compile.fastest import FastestCpu
from edgesr.device import this_machine
from edgesr.engines import open_backend
from edgesr.errors import BackendError, ModelError
from tests import networks


class Paced:
    """ONNX Runtime, slowed down to a given time per run, with an error added to every output."""

    def __init__(self, seconds: float, *, error: float = 0.0, fails: str | None = None) -> None:
        self._backend = open_backend("cpu", threads=1)
        self._seconds, self._error, self._fails = seconds, error, fails
        self.runs = self.loads = self.closed = 0

    def load(self, path: Path) -> PacedEngine:
        self.loads += 1
        return PacedEngine(self, self._backend.load(path))

    def close(self) -> None:
        pass


class PacedEngine:
    def __init__(self, backend: Paced, engine) -> None:
        self._backend, self._engine = backend, engine
        self.inputs, self.outputs = engine.inputs, engine.outputs

    def run(self, inputs: Mapping, outputs: Mapping | None = None) -> Mapping:
        backend = self._backend
        if backend._fails:
            raise BackendError(backend._fails)
        backend.runs += 1
        time.sleep(backend._seconds)
        found = self._engine.run(inputs, outputs)
        for buffer in found.values():
            buffer.numpy()[...] += np.float32(backend._error)
        return found

    def close(self) -> None:
        self._backend.closed += 1
        self._engine.close()


class Chosen:
    """A FastestCpu on two doubles, with what it said."""

    def __init__(
        self,
        place: Path,
        first: Paced,
        second: Paced,
        *,
        worth: float = 0.0,
        opening: float = 0.0,
        folder: Path | None = None,
    ) -> None:
        self.notes: list[str] = []
        self.first, self.second = first, second
        backends = {"onnxruntime": lambda: first, "openvino": lambda: second}
        self.backend = FastestCpu(
            threads=1,
            store=ChoiceStore(1, folder or place),
            note=self.notes.append,
            backends=backends,
            worth=worth,
            opening=opening,
        )
        self.path = networks.affine(place / "affine.onnx")
        self.engine = self.backend.load(self.path)

    def run(self, side: int = 4, *, bound: bool = True) -> np.ndarray:
        x = self.backend.empty((1, 2, side, side), np.dtype(np.float32))
        x.copy_from(np.ones(x.shape, np.float32))
        gain = self.backend.empty((1,), np.dtype(np.float32))
        gain.copy_from(np.ones(1, np.float32))
        outputs = {"y": self.backend.empty(x.shape, x.dtype)} if bound else None
        return self.engine.run({"x": x, "gain": gain}, outputs)["y"].numpy()


SLOW, FAST = 0.004, 0.0


@pytest.mark.parametrize("bound", [True, False])
def test_the_faster_one_is_taken_and_said(tmp_path, bound):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    np.testing.assert_array_equal(chosen.run(bound=bound), np.full((1, 2, 4, 4), 1.5, np.float32))
    before = chosen.second.runs
    chosen.run(bound=bound)
    assert chosen.second.runs == before + 1
    assert len(chosen.notes) == 1
    assert "auto takes OpenVINO" in chosen.notes[0]
    assert "ms of ONNX Runtime" in chosen.notes[0]
    assert chosen.first.closed == 1


def test_onnx_runtime_stays_where_it_is_faster(tmp_path):
    chosen = Chosen(tmp_path, Paced(FAST), Paced(SLOW))
    chosen.run()
    assert "auto takes ONNX Runtime" in chosen.notes[0]
    before = chosen.second.runs
    chosen.run()
    assert chosen.second.runs == before
    assert chosen.second.closed == 1


def test_other_numbers_decide_against_the_faster_one(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST, error=1e-3))
    np.testing.assert_array_equal(chosen.run(), np.full((1, 2, 4, 4), 1.5, np.float32))
    assert "auto takes ONNX Runtime" in chosen.notes[0]
    assert "numbers differ by 6.7e-04" in chosen.notes[0]


def test_nan_decides_against_the_faster_one(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST, error=np.nan))
    assert np.isfinite(chosen.run()).all()
    assert "auto takes ONNX Runtime" in chosen.notes[0]


def test_rounding_does_not_decide(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST, error=1e-6))
    chosen.run()
    assert "auto takes OpenVINO" in chosen.notes[0]


def test_one_that_fails_is_left_out_with_its_reason(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST, fails="no such operator"))
    chosen.run()
    assert chosen.notes == ["affine.onnx: auto takes ONNX Runtime (OpenVINO is left out: no such operator)"]


def test_a_choice_is_kept_and_the_other_is_closed(tmp_path):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run()
    again = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    again.run()
    assert (again.first.runs, again.first.closed, again.second.loads, again.second.runs) == (0, 1, 1, 1)


def test_a_kept_choice_waits_until_it_could_have_saved_what_opening_it_takes(tmp_path):
    Chosen(tmp_path, Paced(0.02), Paced(FAST)).run()
    again = Chosen(tmp_path, Paced(0.02), Paced(FAST), opening=0.05)
    again.run()
    again.run()
    assert (again.second.loads, again.notes) == (0, [])
    assert again.backend.picked == (
        "affine.onnx: ONNX Runtime, as opening OpenVINO would take longer than it would have saved",
    )
    again.run()
    assert (again.first.closed, again.second.runs) == (1, 1)
    assert again.backend.picked == tuple(again.notes)


def test_one_run_at_another_size_does_not_open_the_runtime_that_is_faster_nearby(tmp_path):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run(4)
    again = Chosen(tmp_path, Paced(SLOW), Paced(FAST), worth=60.0)
    again.run(32)
    assert (again.first.runs, again.second.loads) == (1, 0)
    again.run(4)
    again.run(32)
    assert (again.first.runs, again.second.runs) == (1, 2)
    assert "affine.onnx: OpenVINO, as less than 60 s was computed" in again.backend.picked


def test_a_benchmark_takes_a_kept_choice_at_once(tmp_path):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run()
    again = Chosen(tmp_path, Paced(SLOW), Paced(FAST), opening=60.0)
    again.backend.measure_soon()
    again.run()
    assert (again.first.runs, again.second.runs) == (0, 1)


def test_a_kept_choice_is_said_once_with_the_day_of_its_measurement(tmp_path):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run()
    again = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    again.run()
    again.run()
    (line,) = again.notes
    assert "affine.onnx: auto takes OpenVINO (" in line
    assert "; measured 20" in line
    assert again.backend.picked == (line,)


def test_the_file_says_what_was_measured(tmp_path):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run()
    (path,) = tmp_path.glob("*.json")
    document = json.loads(path.read_text())
    ((_, choice),) = document["choices"].items()
    assert choice["name"] == "openvino"
    assert choice["milliseconds"]["onnxruntime"] >= 4.0 > choice["milliseconds"]["openvino"]
    assert document["threads"] == 1


def test_a_damaged_file_is_measured_anew(tmp_path):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run()
    (path,) = tmp_path.glob("*.json")
    for content in ("", "[]", '{"choices": {"x": {}}}', '{"choices": {"6": {"name": "openvino"}}}'):
        path.write_text(content)
        again = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
        again.run()
        assert len(again.notes) == 1


def test_another_size_is_measured_for_itself(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    chosen.run(4)
    chosen.run(9)
    assert len(chosen.notes) == 2
    chosen.run(9)
    assert len(chosen.notes) == 2


def test_little_work_is_not_measured(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST), worth=0.2)
    for _ in range(3):
        chosen.run()
    assert (chosen.notes, chosen.second.loads) == ([], 0)
    for _ in range(60):
        chosen.run()
    assert len(chosen.notes) == 1


def test_a_benchmark_can_have_it_measured_before_its_timed_runs(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST), worth=60.0)
    chosen.run()
    assert chosen.notes == []
    chosen.backend.measure_soon()
    chosen.run()
    assert "auto takes OpenVINO" in chosen.notes[0]


def test_a_process_that_ended_too_early_lets_the_next_one_measure(tmp_path):
    first = Chosen(tmp_path, Paced(0.05), Paced(FAST), worth=0.05)
    first.run()
    assert first.notes == []
    after = Chosen(tmp_path, Paced(0.05), Paced(FAST), worth=0.05)
    after.run()
    assert "auto takes OpenVINO" in after.notes[0]


def test_very_slow_runs_are_timed_once(tmp_path, monkeypatch):
    monkeypatch.setattr("edgesr.compile.runtime_trial._PATIENCE", 0.05)
    chosen = Chosen(tmp_path, Paced(0.1), Paced(0.02))
    chosen.run()
    assert "auto takes OpenVINO" in chosen.notes[0]
    assert (chosen.first.runs, chosen.second.runs) == (1 + 1, 2 + 1 + 1)


def test_a_choice_that_is_not_sure_is_measured_again(tmp_path, monkeypatch):
    chosen = Chosen(tmp_path, Paced(FAST), Paced(FAST))
    times = iter([0.2, 1.0, 0.1, 0.3, 0.3, 1.0] * 20)  # ONNX Runtime 1, 0.1, 1; OpenVINO 0.2, 0.3, 0.3
    monkeypatch.setattr("edgesr.compile.runtime_trial._Turns.seconds", lambda turns, name: next(times))
    monkeypatch.setattr("edgesr.compile.runtime_trial._ROUNDS", 3)
    chosen.run()
    assert "auto takes ONNX Runtime" in chosen.notes[-1]
    assert "measured again next time" in chosen.notes[-1]
    monkeypatch.undo()
    again = Chosen(tmp_path, Paced(SLOW), Paced(FAST), worth=60.0)
    again.run()
    assert "auto takes OpenVINO" in again.notes[0]


def test_large_inputs_are_measured_with_the_memory_of_one_runtime_at_a_time(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    np.testing.assert_array_equal(chosen.run(side=512), np.full((1, 2, 512, 512), 1.5, np.float32))
    assert "auto takes OpenVINO" in chosen.notes[0]
    # Closed before OpenVINO's first run, and opened again for every second pair; OpenVINO cannot rest here, either.
    assert chosen.first.closed == chosen.first.loads > 1
    assert chosen.second.loads - chosen.second.closed == 1
    assert chosen.first.loads < chosen.first.runs and chosen.second.loads < chosen.second.runs


def test_another_processor_is_measured_anew(tmp_path, monkeypatch):
    Chosen(tmp_path, Paced(SLOW), Paced(FAST)).run()
    here = this_machine()
    monkeypatch.setattr("edgesr.compile.choices.this_machine", lambda: replace(here, cpu="another"))
    again = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    again.run()
    assert len(again.notes) == 1


def test_what_was_picked_is_told_for_benchmarks(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST), worth=0.2)
    chosen.run()
    assert chosen.backend.picked == ("affine.onnx: ONNX Runtime, as less than 0.2 s was computed",)
    for _ in range(60):
        chosen.run()
    (sentence,) = chosen.backend.picked
    assert sentence.startswith("affine.onnx: auto takes OpenVINO (")
    assert "pairs in" in sentence


def test_the_cache_lists_choices_and_forgets_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST), folder=ChoiceStore(1).folder)
    chosen.run()
    assert main(["cache"]) == 0
    line = capsys.readouterr().out
    assert "auto takes OpenVINO" in line
    assert "1 threads of" in line
    assert main(["cache", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["choices"]
    assert entry["sha256"] == hashlib.sha256(chosen.path.read_bytes()).hexdigest()
    assert main(["cache", "clear"]) == 0
    capsys.readouterr()
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == ""


def test_a_cache_that_cannot_be_written_only_forgets(tmp_path):
    (tmp_path / "file").write_text("")
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    chosen.engine._kept._path = tmp_path / "file" / "choice.json"
    chosen.run()
    chosen.run()
    assert len(chosen.notes) == 1


def test_a_closed_engine_says_so(tmp_path):
    chosen = Chosen(tmp_path, Paced(SLOW), Paced(FAST))
    chosen.engine.close()
    chosen.engine.close()
    with pytest.raises(BackendError, match="closed"):
        chosen.run()


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        Chosen(tmp_path, Paced(SLOW), Paced(FAST)).backend.load(tmp_path / "absent.onnx")
