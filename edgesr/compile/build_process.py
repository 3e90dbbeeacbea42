"""Build in a process of its own: its memory is freed with it, and a crash inside TensorRT is an error, not the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import edgesr.errors
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.engines.messages import explain
from edgesr.errors import BuildError, EdgesrError

LEAST_WORKSPACE = 32 << 20
_FIRST_RETRY = 256 << 20
"""Workspace in bytes of the second attempt when the first had no limit."""
_MEMORY = "too little free memory"


@dataclass(frozen=True)
class BuildRequest:
    """What the building process needs to know."""

    onnx: Path
    options: BuildOptions
    device: int = 0
    """Index of the GPU."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code, negative for a signal, and the end of what it wrote to standard error."""

    code: int
    text: str


Spawn: TypeAlias = Callable[[Path], Ended]
"""Runs the build described in a folder to its end; tests put another one in its place."""


def build_in_process(request: BuildRequest, timing_cache: bytes = b"", *, spawn: Spawn | None = None) -> BuiltPlan:
    """Build, and once more with half the workspace where the process was killed or ran out of memory."""
    spawn = spawn or spawn_child
    try:
        return _attempt(request, timing_cache, spawn)
    except _OutOfMemoryError as error:
        workspace = max((request.options.workspace or 2 * _FIRST_RETRY) // 2, LEAST_WORKSPACE)
        if request.options.workspace is not None and workspace >= request.options.workspace:
            raise BuildError(str(error)) from None
        smaller = replace(request, options=replace(request.options, workspace=workspace))
        try:
            built = _attempt(smaller, timing_cache, spawn)
        except BuildError as again:
            raise BuildError(f"{again} (also tried with {workspace >> 20} MiB of workspace)") from None
        note = f"the first build failed ({error}); this one has {workspace >> 20} MiB of workspace"
        return replace(built, notes=(*built.notes, note))


class _OutOfMemoryError(BuildError):
    """A build that may work with less workspace."""


def _attempt(request: BuildRequest, timing_cache: bytes, spawn: Spawn) -> BuiltPlan:
    with tempfile.TemporaryDirectory(prefix="edgesr-build-") as name:
        folder = Path(name)
        write_request(folder, request, timing_cache)
        ended = spawn(folder)
        answer = _answer(folder)
        if answer is None or ended.code != 0:
            raise _crashed(request, ended)
        if "error" in answer:
            raise _as_error(answer)
        return BuiltPlan(
            plan=(folder / "plan").read_bytes(),
            timing_cache=(folder / "timings").read_bytes(),
            warnings=tuple(answer["warnings"]),
            notes=tuple(answer["notes"]),
        )


def write_request(folder: Path, request: BuildRequest, timing_cache: bytes) -> None:
    """Write what ``read_request`` reads."""
    document = {
        "onnx": str(request.onnx.absolute()),
        "options": request.options.document(),
        "device": request.device,
    }
    (folder / "request.json").write_text(json.dumps(document), "utf-8")
    (folder / "timings").write_bytes(timing_cache)


def read_request(folder: Path) -> tuple[BuildRequest, bytes]:
    """Read what ``write_request`` wrote."""
    document = json.loads((folder / "request.json").read_text("utf-8"))
    options = BuildOptions.from_document(document["options"])
    return BuildRequest(Path(document["onnx"]), options, document["device"]), (folder / "timings").read_bytes()


def write_answer(folder: Path, built: BuiltPlan) -> None:
    """Write a built plan for the process that asked."""
    (folder / "plan").write_bytes(built.plan)
    (folder / "timings").write_bytes(built.timing_cache)
    facts = {name: value for name, value in asdict(built).items() if name in ("warnings", "notes")}
    (folder / "answer.json").write_text(json.dumps(facts), "utf-8")


def write_error(folder: Path, error: EdgesrError) -> None:
    """Write why there is no plan."""
    answer = {"error": str(error), "kind": type(error).__name__}
    (folder / "answer.json").write_text(json.dumps(answer), "utf-8")


def spawn_child(folder: Path) -> Ended:
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
            code = child.wait()
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


def _answer(folder: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads((folder / "answer.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


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
