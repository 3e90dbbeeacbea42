"""Working ahead: order, overlap, errors and what may be overwritten when."""

from __future__ import annotations

import threading

import pytest

from edgesr.pipelines.ahead import run_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("buffers", [1, 2])
def test_results_come_in_order_from_runs_that_take_turns(count, buffers):
    seen = [[] for _ in range(buffers)]

    def run(mine):
        return lambda item: (mine.append(item), item * 10)[1]

    with run_ahead(range(count), [run(mine) for mine in seen]) as take:
        assert [take() for _ in range(count)] == [10 * n for n in range(count)]
    assert seen == [list(range(count))[k::buffers] for k in range(buffers)]


def test_the_next_item_starts_before_the_last_one_is_done():
    second_started = threading.Event()

    def first(item):
        assert second_started.wait(10)
        return item

    def second(item):
        second_started.set()
        return item

    with run_ahead("ab", [first, second]) as take:
        assert [take(), take()] == ["a", "b"]


def test_buffers_are_used_again_only_after_their_result_was():
    buffers, in_use = [[None], [None]], []

    def run(buffer):
        def work(item):
            assert buffer not in in_use, "a result was overwritten while it was used"
            buffer[0] = item
            return buffer

        return work

    with run_ahead(range(20), [run(buffer) for buffer in buffers]) as take:
        for item in range(20):
            result = take()
            in_use.append(result)
            assert result == [item]
            in_use.clear()


def test_an_error_comes_at_its_item_and_nothing_keeps_running():
    def run(item):
        if item == 2:
            raise ValueError("item 2")
        return item

    before = threading.active_count()
    with pytest.raises(ValueError, match="item 2"), run_ahead(range(9), [run, run]) as take:
        assert [take(), take()] == [0, 1]
        take()
    assert threading.active_count() == before
