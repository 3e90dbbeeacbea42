"""Runtimes behind one seam: ``base`` holds the protocols, each other file one runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgesr.engines.base import Backend, Buffer, Engine, TensorSpec
from edgesr.errors import BackendError, UsageError

DEVICES = ("auto", "cpu", "cuda", "tensorrt")

__all__ = ["DEVICES", "Backend", "Buffer", "Engine", "TensorSpec", "open_backend"]


def open_backend(device: str = "auto", *, threads: int | None = None, providers: list[str] | None = None) -> Backend:
    """Open the runtime for ``device``: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or ``tensorrt:N``.

    ``auto`` takes TensorRT where it imports and a GPU answers, else CUDA where the installed ONNX Runtime offers it,
    else the CPU. A device that is asked for by name and missing raises BackendError; nothing falls back. ``threads``
    and ``providers`` are ONNX Runtime's; naming providers rules TensorRT out.
    """
    from edgesr.engines.ort import OrtBackend

    kind = device.partition(":")[0]
    if kind not in DEVICES or device.startswith("auto:"):
        raise UsageError(f"unknown device {device!r}; use {', '.join(DEVICES)}, cuda:N or tensorrt:N")
    if kind == "tensorrt":
        if providers:
            raise UsageError(f"providers {providers} are ONNX Runtime's; use them with --device cpu or cuda")
        return _tensorrt(device)
    if device != "auto":
        return OrtBackend(device, threads=threads, providers=providers)
    choices: list[Callable[[], Backend]] = [partial(OrtBackend, "cuda", threads=threads)]
    if not providers:
        choices.insert(0, _tensorrt)
    for choice in choices:
        try:
            return choice()
        except BackendError:
            continue
    return OrtBackend("cpu", threads=threads, providers=providers)


def _tensorrt(device: str = "tensorrt") -> Backend:
    from edgesr.engines.trt import TrtBackend

    return TrtBackend(device, is_mapped=None, overlap=True)
