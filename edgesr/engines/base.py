"""The one seam: everything above works on these protocols, everything below implements them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edgesr.types import Array


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one engine input or output; ``-1`` marks a dynamic dimension."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Tell whether ``shape`` has the right rank and agrees with every static dimension."""
        return len(shape) == len(self.shape) and all(s in (-1, n) for s, n in zip(self.shape, shape, strict=True))


class Buffer(Protocol):
    """Memory of one tensor on the backend's device, owned by whoever asked for it."""

    @property
    def ptr(self) -> int:
        """Device address in bytes; host address on a CPU backend."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in elements."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""

    def copy_from(self, array: Array) -> None:
        """Enqueue a copy of ``array`` (same shape and dtype) into this buffer."""

    def wait(self) -> None:
        """Wait for the last run that writes this buffer."""

    def numpy(self) -> Array:
        """Wait for the work enqueued so far and return the content; valid until the next run that writes it."""


class Engine(Protocol):
    """One compiled network."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by name, in the network's order."""

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by name, in the network's order."""

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        """Enqueue one run on the backend's stream.

        ``inputs`` names every input. ``outputs`` names the outputs to write, each into its buffer; ``None`` lets the
        backend allocate all of them, for shapes that are not known beforehand. One run at a time per engine.
        """

    def close(self) -> None:
        """Free the engine; closing twice is allowed."""


@runtime_checkable
class LoopingEngine(Protocol):
    """An engine that runs many times in a row without the host."""

    def loop(
        self,
        inputs: Mapping[str, tuple[int, ...]],
        outputs: Mapping[str, tuple[int, ...]],
        *,
        runs: int,
        tables: Collection[str],
        carried: Mapping[str, str],
    ) -> Loop:
        """Prepare a loop of ``runs`` for tensors of these shapes.

        ``tables`` names the inputs that change from run to run; ``carried`` names, by output, the inputs that get it
        before the next run.
        """


class Loop(Protocol):
    """Repeated runs of one engine in which outputs become inputs."""

    def __call__(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Run, and return the outputs of the last run, valid until the next call.

        ``values`` has every input; those that change, with a leading axis of runs.
        """

    def close(self) -> None:
        """Free the loop's memory; closing twice is allowed."""


class Backend(Protocol):
    """A runtime on one device."""

    @property
    def name(self) -> str:
        """Short name with device, e.g. ``onnxruntime:cpu``."""

    @property
    def is_asynchronous(self) -> bool:
        """Whether work goes on after it was enqueued, so that the next can be prepared meanwhile."""

    def load(self, path: Path) -> Engine:
        """Load a network file; raise ModelError if it is not one that this backend runs."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate an uninitialised buffer; raise OutOfMemoryError when the device is full."""

    def synchronize(self) -> None:
        """Wait until everything enqueued so far is done."""

    def close(self) -> None:
        """Free the device resources; closing twice is allowed."""
