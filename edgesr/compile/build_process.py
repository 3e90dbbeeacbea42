"""Build in a process of its own: its memory is freed with it, and a crash inside TensorRT is an error, not the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import edgesr.errors
from edgesr.compile.exchange import BuildRequest, read_answer, write_request
from edgesr.compile.limits import LEAST_WORKSPACE
from edgesr.compile.recipe import BuiltPlan, Limits, Survey
from edgesr.engines.messages import explain
from edgesr.errors import BuildError, EdgesrError

_FIRST_RETRY = 256 << 20
"""Workspace in bytes of the second attempt when the first had no limit."""
_MEMORY = "too little free memory"
_TICK = 0.2
"""Seconds between two looks at a running build."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code, negative for a signal, and the end of what it wrote to standard error."""

    code: int
    text: str


@dataclass(frozen=True)
class Watch:
    """Who sees a build go on, from the process that waits for it."""

    tick: Callable[[str], None] = lambda phase: None
    """Called every fraction of a second with what the build does now."""
    surveyed: Callable[[Survey], None] = lambda found: None
    """Called once, before kernels are measured."""


Spawn: TypeAlias = Callable[[Path, Callable[[], None]], Ended]
"""Runs the build described in a folder to its end, and calls the function while it waits."""


def build_in_process(request: BuildRequest, *, spawn: Spawn | None = None, watch: Watch | None = None) -> BuiltPlan:
    """Build, and once more with half the workspace where the process was killed or ran out of memory."""
    spawn, watch = spawn or spawn_child, watch or Watch()
    try:
        return _attempt(request, spawn, watch)
    except _OutOfMemoryError as error:
        before = request.limits.workspace
        workspace = max((before or 2 * _FIRST_RETRY) // 2, LEAST_WORKSPACE)
        if before is not None and workspace >= before:
            raise BuildError(str(error)) from None
        tuning = request.limits.tactic_dram
        limits = Limits(workspace, None if tuning is None else max(tuning // 2, workspace))
        try:
            built = _attempt(replace(request, limits=limits), spawn, watch)
        except BuildError as again:
            raise BuildError(f"{again} (also tried with {workspace >> 20} MiB of workspace)") from None
        note = f"the first build failed ({error}); this one has {workspace >> 20} MiB of workspace"
        return replace(built, notes=(*built.notes, note))


def survey_in_process(request: BuildRequest, *, spawn: Spawn | None = None) -> Survey:
    """Let TensorRT read the network in a process of its own and say what it would build."""
    found: list[Survey] = []
    watch = Watch(surveyed=found.append)
    _attempt(replace(request, is_survey=True), spawn or spawn_child, watch)
    return found[0]


class _OutOfMemoryError(BuildError):
    """A build that may work with less workspace."""


def _attempt(request: BuildRequest, spawn: Spawn, watch: Watch) -> BuiltPlan:
    with tempfile.TemporaryDirectory(prefix="edgesr-build-") as name:
        folder = Path(name)
        write_request(folder, request)
        events = _Events(folder / "events", watch)
        ended = spawn(folder, events.look)
        events.look()
        answer = read_answer(folder)
        if answer is None or ended.code != 0:
            raise _crashed(request, ended)
        if "error" in answer:
            raise _as_error(answer)
        plan = b"" if request.is_survey else (folder / "plan").read_bytes()
        return BuiltPlan(plan, tuple(answer["warnings"]), tuple(answer["notes"]), request.limits)


class _Events:
    """Reads what the process tells while it works, a line of JSON each."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self._path = path
        self._watch = watch
        self._read = 0
        self._phase = "starting TensorRT"

    def look(self) -> None:
        """Pass on what is new."""
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[self._read : content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            self._phase = event.get("phase", self._phase)
            if "survey" in event:
                self._watch.surveyed(Survey(**event["survey"]))
        self._watch.tick(self._phase)


def spawn_child(folder: Path, look: Callable[[], None]) -> Ended:
    """Run ``python -m edgesr.compile.child`` on a folder; its messages go to a file, not to the terminal."""
    with (folder / "messages").open("wb") as messages:
        child = subprocess.Popen(
            [sys.executable, "-m", "edgesr.compile.child", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            env=child_environment(),
        )
        try:
            while (code := _waited(child)) is None:
                look()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    return Ended(code, (folder / "messages").read_text("utf-8", errors="replace")[-4000:])


def child_environment() -> dict[str, str]:
    """Return the variables for a process that uses TensorRT."""
    environment = dict(os.environ)
    # The child finds the same edgesr, also when this one was not installed.
    paths = [environment.get("PYTHONPATH", ""), str(Path(edgesr.__file__).parents[1])]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # Kernels are loaded when they are first used, which saves several hundred MB on small boards.
    environment.setdefault("CUDA_MODULE_LOADING", "LAZY")
    return environment


def _waited(child: subprocess.Popen[bytes]) -> int | None:
    """Wait a moment; return the exit code if the process ended."""
    try:
        return child.wait(_TICK)
    except subprocess.TimeoutExpired:
        return None


def _crashed(request: BuildRequest, ended: Ended) -> BuildError:
    name = request.onnx.name
    if ended.code == -signal.SIGKILL:
        return _OutOfMemoryError(
            f"{name}: the system stopped the build, most likely as memory ran out; close other programs, "
            "and on a Jetson add swap"
        )
    if ended.code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return _OutOfMemoryError(
            f"{name}: TensorRT crashed during the build ({known.get(-ended.code, f'signal {-ended.code}')}); try "
            "another TensorRT version, or run with --device cpu"
        )
    last = next((line.strip() for line in reversed(ended.text.splitlines()) if line.strip()), "it said nothing")
    return BuildError(f"{name}: the building process ended with code {ended.code}: {explain(last)}")


def _as_error(answer: dict[str, Any]) -> EdgesrError:
    """Return the error that the process met, of the same kind."""
    text = str(answer["error"])
    if _MEMORY in text:
        return _OutOfMemoryError(text)
    kind = getattr(edgesr.errors, str(answer.get("kind")), BuildError)
    if isinstance(kind, type) and issubclass(kind, EdgesrError):
        return kind(text)
    return BuildError(text)
