"""The protocol on a clock of our own: warm-up, bounds, turns, failures, throttling."""

import time

import numpy as np
import pytest

from edgesr.bench.single_stream import early_stopping, sentence, single_stream
from edgesr.bench.throughput import measure_throughput
from edgesr.bench.timing import Protocol, measure
from edgesr.bench.validity import Limits, find_faults
from edgesr.errors import BackendError, UsageError
from tests.bench.clocks import StubClock


def timed(milliseconds, protocol=None, pictures=1):
    clock = StubClock()
    run = clock.working(milliseconds)
    measured = measure({"a": run}, protocol or Protocol(duration=1), pictures=pictures, clock=clock)["a"]
    return measured, run


def test_the_warm_up_ends_when_the_times_no_longer_fall():
    measured, _ = timed(lambda n: 10 + 90 * 0.7**n)
    assert measured.is_warm
    assert measured.first["end_to_end"] == 100
    assert 10 < measured.warmup_runs < 40
    assert max(measured.stages["end_to_end"]) < 10.5
    assert measured.warmup_seconds < 1


def test_a_warm_up_that_never_settles_ends_after_its_seconds():
    measured, _ = timed(lambda n: 200 * 1.1**n, Protocol(duration=1, warmup=3, least=1))
    assert not measured.is_warm
    assert measured.warmup_seconds >= 3


def test_a_run_lasts_for_its_duration_and_its_least_count():
    measured, _ = timed(lambda n: 10, Protocol(duration=2))
    assert measured.count == 200
    assert measured.seconds == pytest.approx(2)
    few, _ = timed(lambda n: 300, Protocol(duration=1, least=10))
    assert few.count == 10


def test_a_run_ends_at_its_greatest_count_and_at_six_times_its_duration():
    assert timed(lambda n: 1, Protocol(duration=5, most=50))[0].count == 50
    slow, _ = timed(lambda n: 2000, Protocol(duration=1, least=100))
    assert slow.count == 3
    slower, _ = timed(lambda n: 60_000, Protocol(duration=1, least=100))
    assert slower.count == 3


def test_pictures_come_in_turn_and_may_take_different_times():
    measured, run = timed(lambda n: (10, 40, 90)[n % 3] * (1 + 0.5**n), pictures=3)
    assert measured.is_warm
    assert run.calls[:7] == [0, 1, 2, 0, 1, 2, 0]
    assert measured.pictures[:4] == [0, 1, 2, 0]


def test_alternatives_take_turns_and_each_gets_its_time():
    clock = StubClock()
    runs = {"fast": clock.working(lambda n: 5), "slow": clock.working(lambda n: 50)}
    measured = measure(runs, Protocol(duration=2, turns=5), clock=clock)
    assert [len(one.intervals) for one in measured.values()] == [5, 5]
    assert measured["fast"].count == pytest.approx(400, abs=2)
    assert measured["slow"].count == pytest.approx(40, abs=1)
    starts = sorted((start, name) for name, one in measured.items() for start, _ in one.intervals)
    assert [name for _, name in starts][:4] == ["fast", "slow", "slow", "fast"]


def test_a_drift_of_the_machine_meets_all_alternatives():
    clock = StubClock()
    begin = clock.now

    def drifting(base):
        def run(picture):
            spent = base * (1 + (clock.now - begin) / 20)
            clock.now += spent / 1e3
            return {"end_to_end": spent}

        return run

    measured = measure({"a": drifting(10), "b": drifting(10)}, Protocol(duration=4, warmup=0.5), clock=clock)
    first, second = (np.median(one.stages["end_to_end"]) for one in measured.values())
    assert first == pytest.approx(second, rel=0.05)


def test_an_alternative_that_fails_keeps_its_error_and_the_others_go_on():
    clock = StubClock()
    good = clock.working(lambda n: 10)
    bad = clock.working(lambda n: 10)

    def failing(picture):
        if len(bad.calls) == 20:
            raise BackendError("the device fell off the bus")
        return bad(picture)

    measured = measure({"bad": failing, "good": good}, Protocol(duration=1), clock=clock)
    assert str(measured["bad"].error) == "the device fell off the bus"
    assert measured["good"].error is None
    assert measured["good"].count == 100


def test_progress_reaches_the_end():
    clock = StubClock()
    seen = []
    measure(
        {"a": clock.working(lambda n: 10)}, Protocol(duration=1), clock=clock, on_progress=lambda *x: seen.append(x)
    )
    assert seen == [("a", 0.0), ("a", 1.0)]


@pytest.mark.parametrize("values", [{"duration": 0}, {"duration": float("nan")}, {"least": 0}, {"least": 9, "most": 3}])
def test_impossible_protocols_are_refused(values):
    with pytest.raises(UsageError):
        Protocol(**values)


def test_a_machine_that_throttles_makes_the_run_invalid():
    measured, _ = timed(lambda n: 10 if n < 150 else 13, Protocol(duration=4))
    faults = find_faults(measured.stages["end_to_end"], measured.pictures, Limits())
    assert any("slowed down by 30%" in fault for fault in faults)


def test_a_steady_run_is_valid_also_with_pictures_of_several_sizes():
    noise = np.random.default_rng(1).normal(1, 0.02, 4000)
    measured, _ = timed(lambda n: (10, 90)[n % 2] * noise[n], pictures=2)
    assert find_faults(measured.stages["end_to_end"], measured.pictures, Limits()) == []


def test_a_spread_above_the_limit_makes_the_run_invalid():
    noise = np.random.default_rng(1).uniform(0.5, 1.5, 4000)
    samples = [10 * n for n in noise]
    (fault,) = find_faults(samples, [0] * 4000, Limits())
    assert "coefficient of variation is 2" in fault
    assert find_faults(samples, [0] * 4000, Limits(cv=0.5)) == []
    assert "only 2 pictures" in find_faults([1.0, 1.0], [0, 0], Limits())[0]


def test_the_estimate_of_single_stream_covers_the_percentile_in_99_of_100_runs():
    generator = np.random.default_rng(5)
    true = -np.log(0.1)
    for count in (64, 300):
        hits = [early_stopping(list(generator.exponential(1, count))) >= true for _ in range(2000)]
        assert 0.985 <= np.mean(hits) <= 1.0
    # The estimate is a little above the percentile, and nearer with more queries.
    assert early_stopping(list(generator.exponential(1, 20_000))) == pytest.approx(true, rel=0.05)


def test_single_stream_says_what_the_rules_still_ask_for():
    short = single_stream([1.0] * 10, 5.0)
    assert short["is_compliant"] is False
    assert short["p90_ms"] is None
    assert short["reason"] == "5 s were measured, the rules ask for 600 s; 10 queries were made, an estimate needs 64"
    full = single_stream([2.0] * 700, 601.0)
    assert full["is_compliant"] is True
    assert full["p90_ms"] == 2.0
    assert sentence(full).startswith(
        "SingleStream, early-stopping estimate of the 90th percentile: 2 ms of 700 queries; "
    )
    assert "no estimate of 10 queries, which is not by the rules: 5 s were measured" in sentence(short)


def test_throughput_counts_the_pictures_of_all_streams():
    def run(picture):
        time.sleep(0.01)

    one, four = (measure_throughput(run, streams, 0.3) for streams in (1, 4))
    assert four.streams == 4
    assert 2 * one.images_per_second < four.images_per_second <= 400
    assert one.images_per_second == pytest.approx(one.images / one.seconds)


def test_an_error_in_one_stream_ends_the_measurement():
    def run(picture):
        raise BackendError("no memory for a second picture")

    with pytest.raises(BackendError, match="second picture"):
        measure_throughput(run, 3, 5)
    with pytest.raises(UsageError, match="at least 1"):
        measure_throughput(run, 0, 1)
