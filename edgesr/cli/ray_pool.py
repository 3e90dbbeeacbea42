"""Workers on the machines of a Ray cluster, each with a picture of its own.

Actors of Ray itself and not Ray Data, whose blocks come back whole: a run that is killed would lose what its blocks had
done. And ``map_batches`` gives what kills a worker to the next one without end: Ray 2.64 drops the argument against it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from types import TracebackType
from typing import Any

from edgesr.cli.jobs import Job
from edgesr.cli.many import Done
from edgesr.cli.ray_cluster import Cluster, first_line
from edgesr.cli.ray_worker import About, Errand, Worker
from edgesr.errors import BackendError, EdgesrError, InputError

ATTEMPTS = 3
"""Workers that may die over one picture before it counts as failed."""
_PATIENCE = 30.0
"""Seconds without any worker after which a line says what is waited for."""


class RayPool:
    """Actors that load a model each and take one picture at a time; those that die are replaced."""

    def __init__(
        self,
        cluster: Cluster,
        errand: Errand,
        contents: tuple[Mapping[str, bytes], ...],
        *,
        size: int,
        gpus: float,
        note: Callable[[str], None],
    ) -> None:
        self._ray = cluster.ray
        self._errand = errand
        self._size = size
        self._note = note
        self._contents = [self._ray.put(files) for files in contents]
        self._demand = {"num_cpus": errand.threads, "num_gpus": gpus}
        self._actor = self._ray.remote(**self._demand, max_restarts=0, max_task_retries=0)(EdgesrWorker)
        self._busy: dict[Any, tuple[Any, Job | None]] = {}
        self._idle: list[Any] = []
        self._barren = 0
        self.deaths = 0
        """Workers that died."""
        self.abouts: list[About] = []
        """What every worker said that has loaded the model, in order."""
        for _ in range(size):
            self._start()

    def about(self) -> About:
        """Wait for the first worker and return what it says; raise what loading the model raised there."""
        while not self.abouts:
            self._wait()
        return self.abouts[0]

    def map(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Done]]:
        """Do all pictures, in the order in which they are done."""
        ahead, again, tries = iter(jobs), deque[Job](), Counter[Job]()
        while True:
            while self._idle and (job := again.popleft() if again else next(ahead, None)) is not None:
                actor = self._idle.pop()
                self._busy[actor.run.remote(job)] = (actor, job)
            if all(job is None for _, job in self._busy.values()) and self._idle:
                return
            for job, done in self._wait():
                if done is None:
                    tries[job] += 1
                    if tries[job] < ATTEMPTS:
                        again.append(job)
                        continue
                    done = _given_up(job)
                yield job, done

    def close(self) -> None:
        """End all workers, also amid a picture."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            self._end(actor)
        self._busy.clear()
        self._idle.clear()

    def __enter__(self) -> RayPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        actor = self._actor.remote()
        self._busy[actor.open.remote(self._errand, *self._contents)] = (actor, None)

    def _wait(self) -> list[tuple[Job, Done | None]]:
        """Wait until a worker has loaded, finished or died; return what it did, None for a picture that it died of."""
        start = monotonic()
        while True:
            ready, _ = self._ray.wait(list(self._busy), timeout=_PATIENCE)
            if ready:
                break
            if not self.abouts and monotonic() - start < 1.5 * _PATIENCE:
                self._note(self._waiting())
        finished: list[tuple[Job, Done | None]] = []
        for ref in ready:
            actor, job = self._busy.pop(ref)
            value = self._value(ref)
            if value is None:
                self._replace(actor)
            elif isinstance(value, About):
                self.abouts.append(value)
                self._idle.append(actor)
            if job is not None:
                self._barren = 0 if value is not None else self._barren
                finished.append((job, value))
                if value is not None:
                    self._idle.append(actor)
        return finished

    def _value(self, ref: Any) -> Any:
        """Return what a worker said, None where it died; raise what it raised."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EdgesrError):
                raise cause from None
            if isinstance(cause, ImportError):
                raise BackendError(
                    f"a machine of the cluster cannot import {cause.name}: install edgesr there"
                ) from None
            raise
        except errors.RuntimeEnvSetupError as error:
            raise BackendError(f"--ray: a worker cannot be set up: {first_line(error)}") from None
        except errors.RayError as error:
            self._last = first_line(error)
            return None

    def _replace(self, actor: Any) -> None:
        self.deaths += 1
        self._barren += 1
        self._end(actor)  # it may be alive and merely out of reach
        if self._barren > ATTEMPTS * (self._size + 1):
            raise BackendError(f"--ray: workers die as soon as they start ({self.deaths} did): {self._last}")
        self._start()

    def _end(self, actor: Any) -> None:
        try:
            self._ray.kill(actor, no_restart=True)
        except (ValueError, self._ray.exceptions.RayError):
            return

    def _waiting(self) -> str:
        wanted = f"{self._demand['num_cpus']} CPU" + (
            f" and {self._demand['num_gpus']:g} GPU" * bool(self._demand["num_gpus"])
        )
        free = self._ray.available_resources()
        has = ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        return f"still waiting for a worker: each takes {wanted}, free in the cluster: {has}"


class EdgesrWorker:
    """A process of Ray with a worker in it; ``ps`` and Ray's dashboard show this name."""

    def open(self, errand: Errand, *contents: Mapping[str, bytes]) -> About:
        """Load the model."""
        self._worker = Worker(errand, *contents)
        return self._worker.about

    def run(self, job: Job) -> Done:
        """Do one picture."""
        return self._worker.run(job)


def _given_up(job: Job) -> Done:
    text = (
        f"{job.source}: {ATTEMPTS} workers died while they worked on it, most likely for lack of memory; use a smaller "
        "--tile or fewer --actors, or run it alone"
    )
    record = {"input": str(job.source), "output": str(job.target), "status": "failed", "error": text}
    return Done({**record, "exit_code": InputError.exit_code})
