"""Summaries follow numpy's and the standard library's definitions; comparisons find real changes and no others."""

import statistics

import numpy as np
import pytest

from edgesr.bench.statistics import Summary, compare_samples


def test_a_summary_agrees_with_the_standard_library():
    samples = [float(value) for value in np.random.default_rng(1).gamma(4.0, 2.0, 101)]
    summary = Summary.of(samples)
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    assert summary.count == 101
    assert (summary.min, summary.max) == (min(samples), max(samples))
    assert summary.mean == pytest.approx(statistics.fmean(samples))
    assert summary.median == pytest.approx(statistics.median(samples))
    assert (summary.p90, summary.p95, summary.p99) == pytest.approx((cuts[89], cuts[94], cuts[98]))
    assert summary.std == pytest.approx(statistics.stdev(samples))
    assert summary.cv == pytest.approx(statistics.stdev(samples) / statistics.fmean(samples))


def test_one_sample_has_no_spread_and_none_is_refused():
    assert Summary.of([3.0]) == Summary(1, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        Summary.of([])


def test_a_change_of_ten_percent_is_found_in_both_directions():
    generator = np.random.default_rng(2)
    old, new = generator.normal(10, 0.3, 200), generator.normal(9, 0.3, 200)
    change = compare_samples(old, new)
    assert change.verdict == "faster"
    assert change.low < 0.9 < change.high
    assert change.high - change.low < 0.05
    assert compare_samples(new, old).verdict == "slower"


def test_what_lies_within_the_margin_is_noise_however_sure():
    old = np.full(50, 10.0)
    assert compare_samples(old, old * 1.005).verdict == "noise"
    assert compare_samples(old, old * 1.02).verdict == "slower"


def test_alike_samples_are_called_different_in_about_five_percent_of_cases():
    generator = np.random.default_rng(3)
    verdicts = [
        compare_samples(generator.normal(10, 1, 80), generator.normal(10, 1, 80), resamples=500, margin=0).verdict
        for _ in range(200)
    ]
    assert 0 < 200 - verdicts.count("noise") < 25


def test_samples_that_drift_together_widen_the_interval():
    generator = np.random.default_rng(4)
    steps = np.repeat(generator.normal(10, 1, 40), 10)
    shuffled = generator.permutation(steps)
    drifting, independent = (compare_samples(order, order * 1.0) for order in (steps, shuffled))
    assert drifting.high - drifting.low > 1.5 * (independent.high - independent.low)
