"""Counting classes and pixels, and how sure the counts are."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.bench.metrics.groups import group_table
from edgesr.bench.metrics.intervals import interval
from edgesr.bench.metrics.labels import confusion, in_top, iou, mean_iou


def test_top_k_takes_the_first_of_equal_scores():
    scores = np.array([0.1, 0.4, 0.4, 0.1])
    assert in_top(scores, 1, 1) and not in_top(scores, 2, 1) and in_top(scores, 2, 2)
    assert in_top(scores, 0, 3) and not in_top(scores, 3, 3)


def test_iou_equals_counting_sets():
    random = np.random.default_rng(0)
    truth, found = random.integers(0, 5, (2, 30, 40))
    truth[:3] = 255
    counts = confusion(truth, found, 6, ignore=255)
    counted = truth != 255
    expected = [
        ((truth == k) & (found == k) & counted).sum() / (((truth == k) | (found == k)) & counted).sum()
        for k in range(5)
    ]
    assert iou(counts)[:5] == pytest.approx(expected)
    assert np.isnan(iou(counts)[5])
    assert mean_iou(counts) == pytest.approx(np.mean(expected))


def test_the_interval_of_a_mean_equals_scipys_bootstrap():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).gamma(2, 3, 60)
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, random_state=1)
    found = interval(values, [str(i) for i in range(60)])
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.15)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.15)


def test_more_pictures_of_the_same_patients_make_no_figure_surer():
    values = np.random.default_rng(2).normal(0, 1, 30)
    patients = [str(i) for i in range(30)]
    once = interval(values, patients)
    often = interval(values.repeat(8), np.repeat(patients, 8).tolist())
    careless = interval(values.repeat(8), [str(i) for i in range(240)])
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)
    assert careless.high - careless.low < 0.5 * (once.high - once.low)


def test_one_patient_has_no_interval():
    assert interval(np.array([1.0, 2.0]), ["a", "a"]) is None


def test_chance_is_told_from_a_real_gap():
    random = np.random.default_rng(0)
    names = ["F", "M"] * 40
    patients = [str(i) for i in range(80)]
    same = random.normal(0, 1, 80)
    apart = same + np.array([0, 2] * 40)
    assert group_table("sex", "psnr", same, names, patients).p_value > 0.05
    table = group_table("sex", "psnr", apart, names, patients)
    assert table.p_value < 0.001
    assert table.gap == pytest.approx(abs(apart[::2].mean() - apart[1::2].mean()))
    assert group_table("sex", "psnr", same, ["F"] * 80, patients).p_value is None


def test_the_p_value_equals_scipys_permutation_test():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(4)
    values = random.normal(0, 1, 24)
    names = ["a"] * 9 + ["b"] * 15

    def gap(a, b):
        return abs(a.mean() - b.mean())

    samples = (values[:9], values[9:])
    expected = stats.permutation_test(samples, gap, n_resamples=4000, alternative="greater", random_state=1)
    found = group_table("g", "psnr", values, names, [str(i) for i in range(24)])
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.04)
