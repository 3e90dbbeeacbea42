"""Two pictures at once: results in order, nothing begun early, ended at the next tile, and large ones one by one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesr.cli.output import silence
from edgesr.cli.overlap import Overlap, Stopped


def test_results_come_in_order_whichever_is_ready_first() -> None:
    second_is_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(10)
        if number == 1:
            second_is_done.set()
        return number * number

    with Overlap() as overlap:
        assert list(overlap.map(work, range(5))) == [(n, n * n) for n in range(5)]


def test_no_item_is_taken_before_its_work_can_begin() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    with Overlap() as overlap:
        results = overlap.map(lambda number: number, items())
        next(results)
        assert taken == [0, 1]
        next(results)
        assert taken == [0, 1, 2]


def test_what_one_raises_ends_the_other_at_its_next_tile() -> None:
    is_working = threading.Event()
    ended: list[BaseException] = []

    def work(number: int) -> None:
        if number == 0:
            assert is_working.wait(10)
            raise ValueError("broken")
        is_working.set()
        try:
            while True:
                overlap.check(1, 2)
        except Stopped as error:
            ended.append(error)
            raise

    with pytest.raises(ValueError, match="broken"), Overlap() as overlap:
        list(overlap.map(work, range(3)))
    assert len(ended) == 1


def test_only_one_large_picture_is_held_at_a_time(tmp_path: Path) -> None:
    large, small = tmp_path / "large.tif", tmp_path / "small.png"
    large.write_bytes(b"")
    os.truncate(large, 5 << 20)
    small.write_bytes(b"few")
    most, inside, lock = [0], [0], threading.Lock()

    def hold(pixels: int, wait: Callable[[int], None]) -> None:
        wait(pixels)
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.02)
        with lock:
            inside[0] -= 1

    def work(item: tuple[Path, int]) -> None:
        with overlap.alone(item[0]) as wait:
            hold(item[1], wait)

    with Overlap() as overlap:
        list(
            overlap.map(work, [(large, 1), (small, 5 << 20), (large, 5 << 20), (tmp_path / "absent.png", 5 << 20)] * 2)
        )
    assert most == [1]
    with Overlap() as overlap:
        list(overlap.map(work, [(small, 100)] * 6))
    assert most == [2]


def test_a_large_picture_that_waited_is_not_begun_when_the_run_ends(tmp_path: Path) -> None:
    second_waits, begun = threading.Event(), []

    def work(pixels: int) -> None:
        if pixels == 1:
            assert second_waits.wait(10)
            raise ValueError("broken")
        second_waits.set()
        with overlap.alone(tmp_path) as wait:
            wait(pixels)
            begun.append(pixels)

    overlap = Overlap()
    overlap._large.acquire()
    with pytest.raises(ValueError, match="broken"), overlap:
        try:
            list(overlap.map(work, [1, 5 << 20]))
        finally:
            threading.Timer(0.1, overlap._large.release).start()
    assert begun == []


def test_standard_error_comes_back_when_the_last_thread_leaves(capfd: pytest.CaptureFixture[str]) -> None:
    first_is_in, second_is_out = threading.Event(), threading.Event()

    def stay() -> None:
        with silence():
            first_is_in.set()
            assert second_is_out.wait(10)
            os.write(2, b"noise\n")

    thread = threading.Thread(target=stay)
    thread.start()
    assert first_is_in.wait(10)
    with silence():
        os.write(2, b"noise\n")
    second_is_out.set()
    thread.join()
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
