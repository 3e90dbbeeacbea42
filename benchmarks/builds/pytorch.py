"""The same network in PyTorch, eager and compiled, in FP32 and FP16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from benchmarks.runtime.networks import Subject
from benchmarks.runtime.overhead import pytorch_module
from edgesr.device import usable_cores


@dataclass(frozen=True)
class TorchTimes:
    """Milliseconds of one forward pass with the tensors on the device."""

    network: str
    precision: str
    mode: str
    """``eager`` or ``compile``."""
    device: str
    shape: str
    times: list[float]
    note: str = ""


def measure_pytorch(subject: Subject, device: str, *, rounds: int, modes: tuple[str, ...]) -> list[TorchTimes]:
    """Time PyTorch on ``device``; what cannot be done has a note and no times."""
    shape = "x".join(map(str, subject.picture.shape))
    try:
        import torch

        network, inputs = pytorch_module(subject, usable_cores())
    except (ImportError, ValueError) as error:
        return [TorchTimes(subject.name, "", "", device, shape, [], f"left out: {error}")]
    if device == "cuda" and not torch.cuda.is_available():
        return [TorchTimes(subject.name, "", "", device, shape, [], "left out: this PyTorch sees no GPU")]
    found = []
    for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        for mode in modes:
            try:
                moved = network.to(device=device, dtype=dtype)
                tensors = [tensor.to(device=device, dtype=dtype) for tensor in inputs]
                call = torch.compile(moved, mode="max-autotune") if mode == "compile" else moved
                times = _times(call, tensors, device, rounds)
                found.append(TorchTimes(subject.name, precision, mode, device, shape, times))
            except Exception as error:  # compilers and devices fail in many ways, and the other rows still count
                reason = " ".join(str(error).split())[:200]
                found.append(
                    TorchTimes(subject.name, precision, mode, device, shape, [], f"{type(error).__name__}: {reason}")
                )
    return found


def _times(call: Callable[..., Any], tensors: list[Any], device: str, rounds: int) -> list[float]:
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    with torch.inference_mode():
        for index in range(-5, rounds):
            wait()
            start = perf_counter()
            call(*tensors)
            wait()
            if index >= 0:
                times.append((perf_counter() - start) * 1e3)
    return times
