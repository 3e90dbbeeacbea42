"""Runs are timed by events in the queue, on the fake library."""

import pytest

from edgesr.engines.cuda_timing import RunTimer
from tests.fakes.gpu import open_bench


def test_the_time_between_two_events_is_that_of_the_work_between_them():
    with open_bench() as bench:
        source, target = bench.buffer([1.0]), bench.buffer([0.0])
        timer = RunTimer()

        # Each work takes a hundredth of a millisecond on the fake.
        bench.scale(target, source, 5.0)
        with timer.around(bench.stream):
            bench.scale(target, source, 2.0)
        with timer.around(bench.stream):
            bench.scale(target, source, 4.0)
            bench.scale(target, source, 3.0)
        bench.scale(target, source, 3.0)
        assert timer.take() == pytest.approx(0.03)
        assert timer.take() == 0
        assert target.numpy() == pytest.approx([3.0])
        for buffer in (source, target):
            buffer.close()
