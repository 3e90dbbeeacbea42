"""Networks in lower precision for one benchmark, made as ``edgesr build`` makes them, gate and all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgesr.errors import AccuracyError, BuildError, UsageError

OPTIONS: Mapping[str, Sequence[str]] = {"fp16": ("--fp16",), "int8": ("--int8",), "int8-fp16": ("--int8", "--fp16")}
"""Options of ``edgesr build`` by precision."""
KERNELS = ("bf16",)
"""Precisions of a runtime's kernels, for which no other network is made."""
PRECISIONS = ("fp32", *OPTIONS, *KERNELS)


def build_lowered(
    model: str, precision: str, folder: Path, *, calib: str | None = None, words: Sequence[str] = ()
) -> tuple[Path, str]:
    """Make a package in ``folder`` and return it with what the build says about its accuracy.

    ``calib`` is a folder of pictures for INT8 ranges; ``words`` are options that describe a bare ONNX file. Raises what
    the build failed with.
    """
    if precision not in OPTIONS:
        raise UsageError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    is_bare = model.lower().endswith(".onnx")
    target = folder / f"{Path(model).stem}-{precision}.edgesr"
    command = [sys.executable, "-m", "edgesr", "build", *(["--onnx"] if is_bare else []), model]
    command += [*OPTIONS[precision], "--target", "onnx", "--json", "-o", str(target), *words]
    command += ["--calib", calib] if calib else []
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1].removeprefix("edgesr: ") if lines else f"it ended with code {done.returncode}"
        kind = AccuracyError if done.returncode == AccuracyError.exit_code else BuildError
        raise kind(f"{model} in {precision}: {said}")
    notes = json.loads(done.stdout).get("notes", [])
    return target, next((note for note in notes if note.startswith("against FP32")), "")
