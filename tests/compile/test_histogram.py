from __future__ import annotations

import numpy as np
import pytest

from edgesr.compile.histogram import CALIBRATORS, Histogram


def filled(*arrays) -> Histogram:
    histogram = Histogram()
    for array in arrays:
        histogram.add(np.asarray(array, np.float32))
    return histogram


def test_the_counts_do_not_depend_on_how_the_values_are_cut():
    values = np.random.default_rng(0).standard_normal(20000).astype(np.float32) ** 3
    whole, parts = filled(values), filled(*np.split(np.sort(values), 20))
    assert np.array_equal(whole.counts, parts.counts)
    assert whole.counts.sum() == values.size
    for name in CALIBRATORS:
        assert whole.threshold(name) == parts.threshold(name)


def test_zeros_alone_and_zeros_first_are_counted():
    assert filled(np.zeros(5)).threshold("entropy") == 0.0
    histogram = filled(np.zeros(5), np.ones(3))
    assert histogram.counts[0] == 5
    assert histogram.counts.sum() == 8


def test_minmax_keeps_outliers_and_percentile_and_entropy_clip_them():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(200000), [100.0]])
    histogram = filled(values)
    assert histogram.threshold("minmax") == 100.0
    assert 3.0 < histogram.threshold("percentile") < 6.0
    assert 3.0 < histogram.threshold("entropy") < 20.0


def test_percentile_agrees_with_numpy_within_a_bin():
    values = np.random.default_rng(0).exponential(1.0, 100000)
    histogram = filled(values)
    assert histogram.threshold("percentile") == pytest.approx(np.percentile(values, 99.99), abs=histogram.limit / 1024)


def test_entropy_keeps_all_of_an_even_distribution():
    values = np.random.default_rng(0).uniform(-1.0, 1.0, 100000)
    assert filled(values).threshold("entropy") > 0.95
