"""Runtimes behind one seam: ``base`` holds the protocols, each other file one runtime."""

from __future__ import annotations

from edgesr.engines.base import Backend, Buffer, Engine, TensorSpec
from edgesr.errors import BackendError, UsageError

DEVICES = ("auto", "cpu", "cuda")

__all__ = ["DEVICES", "Backend", "Buffer", "Engine", "TensorSpec", "open_backend"]


def open_backend(device: str = "auto", *, threads: int | None = None, providers: list[str] | None = None) -> Backend:
    """Open the runtime for ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` takes CUDA when the installed ONNX Runtime offers it and a GPU answers, else the CPU. A device that is
    asked for by name and missing raises BackendError; nothing falls back.
    """
    from edgesr.engines.ort import OrtBackend

    if device.partition(":")[0] not in DEVICES:
        raise UsageError(f"unknown device {device!r}; use {', '.join(DEVICES)} or cuda:N")
    if device != "auto":
        return OrtBackend(device, threads=threads, providers=providers)
    try:
        return OrtBackend("cuda", threads=threads)
    except BackendError:
        return OrtBackend("cpu", threads=threads, providers=providers)
