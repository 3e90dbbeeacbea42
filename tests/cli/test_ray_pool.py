"""Workers that die, fail and are replaced: the pool against a cluster whose deaths are written down beforehand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgesr.cli.jobs import Job
from edgesr.cli.ray_pool import ATTEMPTS, RayPool
from edgesr.cli.ray_worker import About, Done, Errand
from edgesr.errors import BackendError, ModelError

ABOUT = About("host", "_x2", (), False, "digest", {}, {}, (), 1.0)
ERRAND = Errand(argparse.Namespace(), (), None, threads=1, has_gpu=False)


class RayError(Exception):
    pass


class RuntimeEnvSetupError(RayError):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Cluster:
    """Answers every call at once, the oldest first; ``open`` and ``work`` say with what, or raise it."""

    def __init__(self, open: Callable[[int], Any], work: Callable[[Job], Any]) -> None:
        self.ray = self
        self.exceptions = SimpleNamespace(
            RayError=RayError, RuntimeEnvSetupError=RuntimeEnvSetupError, RayTaskError=RayTaskError
        )
        self._open, self._work = open, work
        self.started = self.killed = 0

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **demand: Any) -> Callable[[type], Any]:
        def start() -> Any:
            self.started += 1
            number = self.started
            return SimpleNamespace(
                open=SimpleNamespace(remote=lambda *words: Call(lambda: self._open(number))),
                run=SimpleNamespace(remote=lambda job: Call(lambda: self._work(job))),
            )

        return lambda kind: SimpleNamespace(remote=start)

    def wait(self, calls: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return calls[:1], calls[1:]

    def get(self, call: Any) -> Any:
        return call.answer()

    def kill(self, actor: Any, no_restart: bool) -> None:
        self.killed += 1


class Call:
    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer


def jobs(count: int) -> list[Job]:
    return [Job(Path(f"{i}.png"), Path(f"out/{i}.png"), Path("out")) for i in range(count)]


def finish(job: Job) -> Done:
    return Done({"input": str(job.source), "output": str(job.target), "status": "done"})


def pool(cluster: Any, size: int = 2) -> RayPool:
    return RayPool(cluster, ERRAND, (), size=size, gpus=0.0, note=lambda text: None)


def test_every_picture_comes_back_once() -> None:
    cluster = Cluster(lambda number: ABOUT, finish)
    with pool(cluster) as workers:
        assert workers.about() is ABOUT
        found = [job for job, _ in workers.map(jobs(7))]
    assert sorted(found, key=str) == jobs(7)
    assert (workers.deaths, cluster.started, cluster.killed) == (0, 2, 2)


def test_a_picture_of_a_dead_worker_is_done_by_another() -> None:
    once = {"3.png"}

    def work(job: Job) -> Done:
        if job.source.name in once:
            once.clear()
            raise RayError("the actor died")
        return finish(job)

    with pool(Cluster(lambda number: ABOUT, work)) as workers:
        found = {job.source.name: done.record["status"] for job, done in workers.map(jobs(6))}
    assert found == {f"{i}.png": "done" for i in range(6)}
    assert workers.deaths == 1


def test_a_picture_that_kills_its_workers_fails_and_the_others_are_done() -> None:
    def work(job: Job) -> Done:
        if job.source.name == "2.png":
            raise RayError("killed by the system for lack of memory")
        return finish(job)

    cluster = Cluster(lambda number: ABOUT, work)
    with pool(cluster) as workers:
        records = {job.source.name: done.record for job, done in workers.map(jobs(5))}
    assert [records[f"{i}.png"]["status"] for i in range(5)] == ["done", "done", "failed", "done", "done"]
    assert f"{ATTEMPTS} workers died while they worked on it" in records["2.png"]["error"]
    assert records["2.png"]["exit_code"] == 6
    assert workers.deaths == ATTEMPTS


def test_workers_that_die_while_they_load_end_the_run() -> None:
    def die(number: int) -> About:
        raise RayError("The actor died.\nmany more lines")

    with pool(Cluster(die, finish)) as workers, pytest.raises(BackendError, match=r"as soon as they start .*died$"):
        workers.about()


@pytest.mark.parametrize(
    ("cause", "expected", "text"),
    [
        (ModelError("x.edgesr: is damaged"), ModelError, "x.edgesr: is damaged"),
        (ModuleNotFoundError("No module named 'edgesr'", name="edgesr"), BackendError, "cannot import edgesr"),
    ],
)
def test_what_loading_raises_is_raised_here(cause: Exception, expected: type[Exception], text: str) -> None:
    def fail(number: int) -> About:
        raise RayTaskError(cause)

    with pool(Cluster(fail, finish)) as workers, pytest.raises(expected, match=text):
        workers.about()
