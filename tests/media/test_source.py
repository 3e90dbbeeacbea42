"""Sources: the newest frame, nothing lost of files, and cameras that misbehave."""

from __future__ import annotations

import asyncio
import threading
from time import sleep

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.media.frame import Frame
from edgesr.media.port import AbsentError, UnreachableError
from edgesr.media.source import Patience, Source
from tests.media.cameras import Camera, Shot, steady

QUICK = Patience(timeout=0.2, attempts=3, first_pause=0.01, longest_pause=0.02)


def source(*plays: list[Shot], is_live: bool = True, fails: tuple[int, ...] = (), **options: object) -> Source:
    camera = Camera(plays, fails=set(fails))
    return Source(camera, "camera", is_live=is_live, patience=QUICK, **options)  # type: ignore[arg-type]


def test_a_slow_reader_of_a_live_source_gets_the_newest_frame_and_the_rest_is_counted() -> None:
    camera = Camera([[*steady(10, 0.001), Shot("stall")]])
    with Source(camera, "camera", is_live=True, patience=Patience(timeout=60)) as live:
        first = live.read()
        while live.captured < 10:
            sleep(0.01)
        sleep(0.01)  # a frame is counted just before it can be taken
        newest = live.read()
    assert isinstance(first, Frame)
    assert isinstance(newest, Frame)
    assert newest.index == 9
    assert live.captured == 10
    assert live.dropped == 8  # all but the two that were taken
    assert int(newest.image[0, 0, 0]) == 9


def test_a_slow_reader_of_a_file_gets_every_frame_and_the_source_waits() -> None:
    taken = []
    stored = Source(Camera([steady(20, 0.0)]), "file", is_live=False, patience=QUICK)
    # The camera is none: its end is a loss, which for a stored source is an error that comes after its frames.
    with stored, pytest.raises(InputError, match="the stream ended"):
        for frame in stored:
            sleep(0.002)
            taken.append(frame.index)
            assert stored.captured <= len(taken) + 3
    assert taken == list(range(20))
    assert stored.dropped == 0


@pytest.mark.parametrize("trouble", ["stall", "garbage", "disconnect"])
def test_a_camera_that_was_lost_is_opened_again_and_time_runs_on(trouble: str) -> None:
    said: list[str] = []
    frames = []
    with source([*steady(3), Shot(trouble)], [*steady(3, size=(4, 6)), Shot("stall")], note=said.append) as live:
        for frame in live:
            frames.append(frame)
            if len(frames) == 6 - live.dropped:
                break
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(frames[-1].captured - frames[0].captured, abs=0.05)
    assert {frame.image.shape for frame in frames} == {(8, 8, 3), (4, 6, 3)}
    assert live.reconnects == 1
    assert len(said) == 1
    assert "opening it again in 0.01 s (1 of 3)" in said[0]


def test_a_camera_that_stays_away_is_given_up_after_the_attempts() -> None:
    live = source([*steady(2), Shot("disconnect")], fails=(1, 2, 3))
    with live, pytest.raises(InputError, match="no such device; given up after 3 attempts"):
        for _ in live:
            pass
    assert live.reconnects == 3


def test_a_camera_that_comes_back_in_time_has_all_attempts_again() -> None:
    plays = [[*steady(2), Shot("disconnect")] for _ in range(6)]
    live = source(*plays, [*steady(50, 0.01)], fails=(1, 2, 4, 5))
    count = 0
    with live:
        for _ in live:
            count += 1
            if live.reconnects >= 6 and count > 4:
                break
    assert live.reconnects == 6


def beginning(camera: Camera, connect: float | None, said: list[str]) -> Source:
    patience = Patience(timeout=0.02, connect=connect, first_pause=0.01, longest_pause=0.02)
    return Source(camera, "camera", is_live=True, patience=patience, note=said.append)


@pytest.mark.parametrize("error", [UnreachableError, AbsentError])
def test_a_camera_that_starts_later_is_waited_for_and_no_reconnect_is_counted(error: type[InputError]) -> None:
    said: list[str] = []
    camera = Camera([steady(3), steady(3), [Shot("stall")], steady(3)], fails={0, 1}, error=error)
    with beginning(camera, 20, said) as live:
        assert live.read() is not None
    assert (camera.opened, live.reconnects) == (4, 0)
    assert len(said) == 3
    assert "no such device; trying again in 0.01 s, for 20 s more" in said[0]


@pytest.mark.parametrize("shots", [[Shot("stall")], [Shot("disconnect")]])
def test_a_camera_that_never_delivers_is_given_up_when_its_time_is_over(shots: list[Shot]) -> None:
    camera = Camera([shots])
    with beginning(camera, 0.1 if shots[0].what == "stall" else None, []) as live, pytest.raises(InputError) as caught:
        live.read()
    assert (camera.opened > 1) == (shots[0].what == "stall")
    assert ("given up after" in str(caught.value)) == (camera.opened > 1)


@pytest.mark.parametrize(
    ("error", "connect"), [(AbsentError, None), (InputError, 20), (UnreachableError, 0), (AbsentError, 0)]
)
def test_what_waiting_does_not_mend_or_is_not_allowed_to_is_an_error_at_once(
    error: type[InputError], connect: float | None
) -> None:
    camera = Camera([[]], fails={0, 1, 2}, error=error)
    with beginning(camera, connect, []) as live, pytest.raises(error, match=r"no such device$"):
        live.read()
    assert camera.opened == 1


def test_closing_ends_a_wait_in_another_thread() -> None:
    live = Source(Camera([[Shot("stall")]]), "camera", is_live=True, patience=Patience(timeout=60))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(live.read()))
    thread.start()
    sleep(0.05)
    live.close()
    live.close()
    thread.join(5)
    assert ended == [None]
    assert live.read() is None


def test_a_callback_gets_frames_until_it_has_enough() -> None:
    seen: list[int] = []

    def take(frame: Frame) -> bool:
        seen.append(frame.index)
        return len(seen) < 3

    listener = source(steady(100, 0.005)).listen(take)
    assert listener.wait(10)
    assert len(seen) == 3


def test_an_error_in_a_callback_comes_out_of_wait() -> None:
    listener = source(steady(5)).listen(lambda frame: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        listener.wait(10)
    listener.stop()


def test_frames_come_asynchronously_while_the_loop_goes_on() -> None:
    async def main() -> tuple[int, int]:
        beats, frames = 0, 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.005)

        task = asyncio.create_task(beat())
        with source([*steady(100, 0.02)]) as live:
            async for frame in live:
                frames += 1
                assert isinstance(frame.image, np.ndarray)
                if frames == 5:
                    break
        task.cancel()
        return beats, frames

    beats, frames = asyncio.run(main())
    assert frames == 5
    assert beats > 5
