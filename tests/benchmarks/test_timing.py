"""The statistics against numbers worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.timing import alternate, ratios, summarize


def test_a_summary_of_five_samples():
    summary = summarize([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (summary.n, summary.median, summary.low, summary.high) == (5, 3.0, 2.0, 4.0)
    assert (summary.minimum, summary.maximum) == (1.0, 5.0)


def test_quartiles_lie_between_samples():
    summary = summarize([10.0, 20.0, 30.0, 40.0])
    assert (summary.low, summary.median, summary.high) == (17.5, 25.0, 32.5)


def test_one_sample_has_no_spread():
    summary = summarize([0.25])
    assert summary.median == summary.low == summary.high == summary.minimum == summary.maximum == 0.25


def test_no_samples_have_no_summary():
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


def test_texts_are_scaled_and_rounded():
    summary = summarize([0.001, 0.002, 0.003])
    assert summary.text(1e3, 1) == "2.0 (1.5 - 2.5)"
    assert summary.range_text(1e3, 0) == "2 [1 - 3]"


def test_ratios_are_pair_by_pair_so_that_common_slowness_cancels():
    quiet, busy = [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]
    first, second = [*quiet, *(3.3 for _ in busy)], [*quiet, *busy]
    assert ratios(first, second) == pytest.approx([1, 1, 1, 1.1, 1.1, 1.1])
    with pytest.raises(ValueError, match="as many samples"):
        ratios([1.0], [1.0, 2.0])


def test_alternatives_take_turns_and_change_places():
    calls: list[str] = []
    now = iter(range(1000))
    samples = alternate(
        {name: lambda name=name: calls.append(name) for name in "ab"},
        3,
        warmup=1,
        pause=0,
        clock=lambda: float(next(now)),
    )
    assert calls == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert samples == {"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0, 1.0]}
