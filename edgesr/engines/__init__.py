"""Runtimes behind one seam: ``base`` holds the protocols, each other file one runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgesr.engines.base import Backend, Buffer, Engine, TensorSpec
from edgesr.errors import BackendError, UsageError

DEVICES = ("auto", "cpu", "cuda", "openvino", "tensorrt")

__all__ = ["DEVICES", "Backend", "Buffer", "Engine", "TensorSpec", "open_backend"]


def open_backend(
    device: str = "auto",
    *,
    threads: int | None = None,
    providers: list[str] | None = None,
    precision: str | None = None,
    cpu: Callable[[], Backend] | None = None,
) -> Backend:
    """Open the runtime for ``device``: ``auto``, ``cpu``, ``cuda[:N]``, ``openvino`` or ``tensorrt[:N]``.

    ``auto`` takes TensorRT where it imports and a GPU answers, else CUDA where the installed ONNX Runtime offers it,
    else the CPU, as ``cpu`` opens it where that is given and no providers are named. A device that is asked for by name
    and missing raises BackendError; nothing falls back. ``threads`` is for CPUs, ``providers`` are ONNX Runtime's;
    naming providers rules TensorRT out. ``precision`` is that of OpenVINO's kernels, ``fp32`` or ``bf16``.
    """
    from edgesr.engines.ort import OrtBackend

    kind = device.partition(":")[0]
    if kind not in DEVICES or device.startswith(("auto:", "openvino:")):
        raise UsageError(f"unknown device {device!r}; use {', '.join(DEVICES)}, cuda:N or tensorrt:N")
    if kind == "openvino":
        if providers:
            raise UsageError(f"providers {providers} are ONNX Runtime's; use them with --device cpu or cuda")
        from edgesr.engines.openvino import OpenVinoBackend

        return OpenVinoBackend(threads=threads, precision=precision or "fp32")
    if precision is not None:
        raise UsageError(
            f"precision {precision} is chosen at run time with --device openvino alone; elsewhere it belongs to the "
            "network (edgesr build)"
        )
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
    return cpu() if cpu and not providers else OrtBackend("cpu", threads=threads, providers=providers)


def _tensorrt(device: str = "tensorrt") -> Backend:
    from edgesr.engines.trt import TrtBackend

    return TrtBackend(device, is_mapped=None, overlap=True)
