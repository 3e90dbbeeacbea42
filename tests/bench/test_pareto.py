"""The best choices, and the one that fits a wish."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.bench.pareto import Budget, frontier, recommend
from edgesr.errors import UsageError
from tests.bench.records import row


def made(name: str, ms: float, psnr: float | None, **values):
    quality = None if psnr is None else {"mean": {"psnr": psnr, "lpips": 1 / psnr}}
    return row(name, (ms, ms, ms, ms * 1.2), quality=quality, **values)


ROWS = [made("slow", 40, 38), made("fast", 10, 34), made("worse", 20, 33), made("middle", 20, 36), made("same", 20, 36)]


def test_the_frontier_is_what_a_search_over_all_pairs_finds():
    generator = np.random.default_rng(0)
    for _ in range(50):
        numbers = generator.integers(1, 8, (7, 2)).tolist()
        rows = [made(f"m{i}", ms, psnr) for i, (ms, psnr) in enumerate(numbers)]
        beaten = {
            i
            for i, (a, p) in enumerate(numbers)
            for j, (b, q) in enumerate(numbers)
            if (b <= a and q >= p and (b < a or q > p)) or ((a, p) == (b, q) and j < i)
        }
        assert set(frontier(rows, "psnr")) == set(range(7)) - beaten


def test_the_frontier_is_in_order_of_cost_and_the_first_of_equals_counts():
    assert frontier(ROWS, "psnr") == [1, 3, 0]


def test_lower_is_better_where_the_metric_says_so():
    assert frontier(ROWS, "lpips") == [1, 3, 0]


def test_invalid_and_unmeasured_rows_are_never_among_the_best():
    rows = [
        made("bad", 1, 99, status="invalid"),
        made("failed", 1, 99, status="failed"),
        made("blind", 1, None),
        ROWS[1],
    ]
    assert frontier(rows, "psnr") == [3]
    assert recommend(rows, least=30).row == 3


def test_energy_has_a_frontier_of_its_own():
    from edgesr.bench.record import Reading

    rows = [
        made("hungry", 5, 36, power={"joules_per_image": Reading(2.0, "NVML", "J")}),
        made("frugal", 50, 36, power={"joules_per_image": Reading(0.5, "NVML", "J")}),
        made("unknown", 1, 40, power={}),
    ]
    assert frontier(rows, "psnr", "J") == [1]
    assert recommend(rows, budget=Budget.parse("1J")).row == 1
    assert (
        "500 mJ" in recommend(rows, budget=Budget.parse("600mJ")).sentence
        or "0.500 J" in recommend(rows, budget=Budget.parse("600mJ")).sentence
    )


def test_a_budget_gives_the_best_that_nine_of_ten_pictures_keep_and_names_the_next():
    found = recommend(ROWS, budget=Budget.parse("24ms"))
    assert found.row == 3
    assert found.sentence == (
        "middle: PSNR 36.00 dB in 22.8 ms (90th percentile), the best of 4 that keep within 24.0 ms; "
        "slow would give PSNR 38.00 dB in 45.6 ms (90th percentile)"
    )
    assert recommend(ROWS, budget=Budget.parse("21ms")).row == 1


def test_a_least_quality_gives_the_fastest_that_has_it():
    found = recommend(ROWS, least=35)
    assert found.row == 3
    assert found.sentence == (
        "middle: PSNR 36.00 dB in 22.8 ms (90th percentile), the fastest of 3 that have at least 35.00 dB of PSNR"
    )


def test_both_wishes_must_hold():
    assert recommend(ROWS, budget=Budget.parse("30ms"), least=36).row == 3
    none = recommend(ROWS, budget=Budget.parse("12ms"), least=36)
    assert none.row is None
    assert none.sentence.startswith(
        "nothing can keep within 12.0 ms and have at least 36.00 dB of PSNR: the best is slow"
    )
    assert "the cheapest fast" in none.sentence


def test_without_quality_nothing_is_recommended():
    assert "no valid row" in recommend([made("blind", 1, None)], least=30).sentence
    assert recommend([], budget=Budget.parse("1s")).row is None


@pytest.mark.parametrize(
    ("text", "most", "unit"),
    [("30ms", 30, "ms"), ("0.5 s", 500, "ms"), ("2J", 2, "J"), ("300mJ", 0.3, "J"), ("5us", 0.005, "ms")],
)
def test_budgets_have_units(text, most, unit):
    budget = Budget.parse(text)
    assert (budget.most, budget.unit) == (pytest.approx(most), unit)


@pytest.mark.parametrize("text", ["30", "ms", "-1ms", "0ms", "1e999ms", "3 hours", "", "nanms"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(UsageError, match="such as 30ms or 2J"):
        Budget.parse(text)


def test_an_unknown_metric_is_refused():
    with pytest.raises(UsageError, match="no metric 'beauty'"):
        recommend(ROWS, metric="beauty", least=1)
