"""Where a model runs, and which models a name means."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from edgesr.engines import Backend, open_backend
from edgesr.errors import BackendError, UsageError


@dataclass(frozen=True)
class Place:
    """Where a network runs, and who is told about it."""

    device: str
    threads: int | None
    providers: list[str] | None
    note: Callable[[str], None]
    tick: Callable[[str, float | None], None]
    precision: str | None = None
    """Of the kernels of OpenVINO."""

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise UsageError(f"device must be a name such as 'cpu' or 'cuda:0', got {self.device!r}")
        if self.threads is not None and (not isinstance(self.threads, int) or isinstance(self.threads, bool)):
            raise UsageError(f"threads must be a whole number, got {self.threads!r}")

    def open(self) -> Backend:
        """Open the backend."""
        return open_backend(
            self.device,
            threads=self.threads,
            providers=self.providers,
            precision=self.precision,
            cpu=self._fastest_cpu if find_spec("openvino") else None,
        )

    def in_fp32(self) -> Place:
        """Return the same place with kernels in FP32."""
        return replace(self, precision=None)

    def without_tensorrt(self) -> Backend:
        """Open what ``auto`` takes next when TensorRT cannot compile a network."""
        try:
            return open_backend("cuda", threads=self.threads)
        except BackendError:
            return self._fastest_cpu() if find_spec("openvino") else open_backend("cpu", threads=self.threads)

    def _fastest_cpu(self) -> Backend:
        from edgesr.compile.choices import ChoiceStore
        from edgesr.compile.fastest import FastestCpu

        return FastestCpu(threads=self.threads, store=ChoiceStore(self.threads), note=self.note)


def chained(model: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Split ``RESTORATION+TASK``; None where that is one name or an existing file."""
    if not isinstance(model, (str, os.PathLike)):
        raise UsageError(f"model must be a name or a path, got {model!r}")
    text = os.fspath(model)
    first, plus, second = text.partition("+")
    if not plus or Path(text).exists():
        return None
    if not first or not second or "+" in second:
        raise UsageError(f"{text}: must be RESTORATION+TASK, two models with one + between them")
    return first, second
