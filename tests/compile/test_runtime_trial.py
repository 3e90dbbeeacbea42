"""Which of two runtimes a short measurement takes; the clock is a double that moves as far as the runs are said to."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat

import numpy as np
import pytest

from edgesr.compile import runtime_trial
from edgesr.compile.choices import Choice, ChoiceStore
from edgesr.compile.runtime_trial import compare_runtimes
from edgesr.engines.ort_buffers import HostBuffer


class Machine:
    """Two runtimes of which every run takes a given time, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.runs: list[str] = []
        self.notes: list[str] = []
        monkeypatch.setattr(runtime_trial, "perf_counter", lambda: self.now)
        monkeypatch.setattr(runtime_trial, "sleep", self._advance)

    def trial(self, onnxruntime: Iterable[float], openvino: Iterable[float], *, warm: float = 0.0) -> Choice:
        """Compare; ``warm`` is what each run before the first pair takes."""
        times = {
            "onnxruntime": chain([warm], _endless(onnxruntime)),
            "openvino": chain([warm, warm], _endless(openvino)),
        }

        def run(name: str) -> dict[str, HostBuffer]:
            self.runs.append(name)
            self._advance(next(times[name]))
            return {"y": HostBuffer(np.ones(1, np.float32))}

        return compare_runtimes(lambda: run("onnxruntime"), lambda: run("openvino"), self.notes.append)

    def alternate(self, first: float, second: float, *, cold: float) -> Choice:
        """Compare runtimes that rest: a run takes ``cold`` more where its memory was given back before."""
        has_memory = {"onnxruntime": False, "openvino": False}

        def run(name: str, seconds: float) -> dict[str, HostBuffer]:
            assert not any(has for other, has in has_memory.items() if other != name), "both have memory"
            self.runs.append(name)
            self._advance(seconds + (0 if has_memory[name] else cold))
            has_memory[name] = True
            return {"y": HostBuffer(np.ones(1, np.float32))}

        def rest(name: str) -> None:
            has_memory[name] = False

        return compare_runtimes(
            lambda: run("onnxruntime", first), lambda: run("openvino", second), self.notes.append, rest
        )

    def _advance(self, seconds: float) -> None:
        self.now += seconds


def _endless(times: Iterable[float]) -> Iterable[float]:
    listed = list(times)
    return chain(listed, repeat(listed[-1]))


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_one_that_is_faster_in_every_pair_is_known_after_five(machine):
    choice = machine.trial([0.43], [0.38])
    assert (choice.name, choice.is_sure, choice.pairs) == ("openvino", True, 5)
    assert choice.seconds == pytest.approx(5 * 0.81, abs=0.1)


def test_what_allocating_again_takes_is_not_timed_where_one_has_memory_at_a_time(machine):
    choice = machine.alternate(0.10, 0.08, cold=0.5)
    assert (choice.name, choice.is_sure) == ("openvino", True)
    assert choice.milliseconds == pytest.approx({"onnxruntime": 100, "openvino": 80})
    assert machine.runs[:3] == ["onnxruntime", "openvino", "openvino"]


def test_a_burst_of_other_work_during_the_first_pairs_does_not_decide(machine):
    choice = machine.trial([0.82, 0.67, 0.80, 0.36], [0.43])
    assert choice.name == "onnxruntime"


def test_one_disturbed_pair_of_a_slow_network_does_not_keep_the_slower_one(machine):
    # The first run of OpenVINO met other work; three pairs alone would agree by 67 %.
    choice = machine.trial([0.592, 0.6, 0.59], [0.9, 0.396, 0.4, 0.41])
    assert (choice.name, choice.is_sure) == ("openvino", True)
    assert choice.pairs > 5
    assert choice.milliseconds["openvino"] <= 410


def test_a_slow_network_is_given_as_many_pairs_as_its_own_time_allows(machine):
    # Pairs that never agree: ends by the budget, eight times the fastest pair.
    choice = machine.trial([0.4, 0.5] * 20, [0.5, 0.4] * 20)
    assert 7 <= choice.pairs <= 8
    assert choice.seconds < 8 * 0.9 + 0.1


def test_a_quick_network_ends_within_a_second(machine):
    choice = machine.trial([0.050, 0.060] * 20, [0.060, 0.050] * 20)
    assert choice.seconds < 1.1


def test_runs_of_seconds_stop_at_the_limit_of_patience(machine):
    choice = machine.trial([1.5, 2.0] * 9, [2.0, 1.5] * 9, warm=1.0)
    assert choice.pairs == 3
    assert choice.seconds < 12 + 3


def test_one_very_slow_pair_decides_alone(machine):
    choice = machine.trial([30.0], [20.0])
    assert (choice.name, choice.pairs) == ("openvino", 1)


def test_medians_that_contradict_the_undisturbed_runs_are_told_and_measured_again(machine):
    choice = machine.trial([0.5, 0.9, 1.0, 0.5, 1.0, 0.9] * 3, [0.8])
    assert (choice.name, choice.is_sure) == ("onnxruntime", False)
    assert choice.milliseconds["onnxruntime"] < choice.milliseconds["openvino"]
    assert "disturbed the medians of 900 and 800 ms, which say otherwise" in choice.sentence()
    assert "measured again next time" in choice.sentence()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("onnxruntime", "openvino", "expected"), [(0.43, 0.36, "openvino"), (0.36, 0.43, "onnxruntime")]
)
def test_other_work_in_a_quarter_of_the_runs_does_not_change_the_choice(machine, seed, onnxruntime, openvino, expected):
    draw = np.random.default_rng(seed)
    times = [
        [one * draw.uniform(1.0, 1.03) * (draw.uniform(1.3, 2.5) if draw.random() < 0.25 else 1) for _ in range(20)]
        for one in (onnxruntime, openvino)
    ]
    assert machine.trial(*times).name == expected


def test_a_difference_below_the_margin_changes_nothing_and_is_told(machine):
    choice = machine.trial([0.100], [0.098])
    assert (choice.name, choice.is_sure) == ("onnxruntime", True)
    assert "less than 3% faster, not worth a change" in choice.sentence()


def test_a_long_measurement_is_announced_with_what_it_costs(machine):
    machine.trial([0.4], [0.3])
    assert machine.notes == ["measuring ONNX Runtime against OpenVINO, once and for 5 s at most"]


def test_a_short_measurement_is_not_announced(machine):
    machine.trial([0.01], [0.02])
    assert machine.notes == []


def test_the_cost_is_told_with_the_choice(machine):
    assert "5 pairs in 3.0 s" in machine.trial([0.4], [0.2]).sentence()


def test_both_go_first_in_turn(machine):
    machine.trial([0.4], [0.39])
    pairs = machine.runs[3:]
    assert pairs[:4] == ["openvino", "onnxruntime", "onnxruntime", "openvino"]


def test_two_unsure_measurements_that_say_the_same_are_kept(tmp_path):
    unsure = Choice("openvino", {"onnxruntime": 2.0, "openvino": 1.0}, 0.0, "disturbed", 9, is_sure=False)
    store = ChoiceStore(1, tmp_path)
    assert not store.of(tmp_path / "net.onnx").keep(5, unsure).is_sure
    again = store.of(tmp_path / "net.onnx")
    assert again.choices == {}
    assert again.pending == {5: "openvino"}
    assert again.keep(5, unsure).is_sure
    assert store.of(tmp_path / "net.onnx").choices[5].name == "openvino"
    assert store.of(tmp_path / "net.onnx").pending == {}


def test_two_unsure_measurements_that_contradict_each_other_are_not_kept(tmp_path):
    store = ChoiceStore(1, tmp_path)
    for name in ("openvino", "onnxruntime", "openvino"):
        unsure = Choice(name, {}, 0.0, "disturbed", 9, is_sure=False)
        assert not store.of(tmp_path / "net.onnx").keep(5, unsure).is_sure
    assert store.of(tmp_path / "net.onnx").choices == {}
