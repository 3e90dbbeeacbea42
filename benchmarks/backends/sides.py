"""The sides of the comparison: each a function that runs the network once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.backends.networks import Network
from benchmarks.runtime.overhead import bare_session
from edgesr.compile.choices import ChoiceStore
from edgesr.compile.fastest import FastestCpu
from edgesr.engines.base import Backend
from edgesr.engines.openvino import OpenVinoBackend
from edgesr.errors import EdgesrError

EAGER = "PyTorch eager"
AUTO = "edgesr auto"
_SETTLE = 3
_SLOW = 2.0
"""Seconds from which a run is long enough for the first one to settle in."""


@dataclass
class Sides:
    """What can be run on this machine, and why the rest cannot."""

    actions: dict[str, Callable[[], Any]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    """Of the first output to that of PyTorch eager, relative to its largest value."""
    absent: dict[str, str] = field(default_factory=dict)
    picked: str = ""
    """What ``auto`` said."""


def open_sides(network: Network, folder: Path, *, threads: int, with_compile: bool) -> Sides:
    """Open every side and run it until it has settled."""
    import torch

    torch.set_num_threads(threads)
    sides = Sides()
    notes: list[str] = []
    store = ChoiceStore(threads, folder / "choices")
    makers: Mapping[str, Callable[[], Callable[[], Any]]] = {
        EAGER: partial(_pytorch, network, compiled=False),
        "torch.compile": partial(_pytorch, network, compiled=True),
        "ONNX Runtime": partial(_onnxruntime, network, threads),
        "OpenVINO fp32": lambda: _seam(OpenVinoBackend(threads=threads), network),
        "OpenVINO bf16": lambda: _seam(OpenVinoBackend(threads=threads, precision="bf16"), network),
        AUTO: lambda: _seam(FastestCpu(threads=threads, store=store, note=notes.append, worth=0.0), network),
    }
    expected: np.ndarray[Any, Any] | None = None
    for name, make in makers.items():
        if name == "torch.compile" and not with_compile:
            sides.absent[name] = "left out by --no-compile"
            continue
        try:
            action = make()
            begin = perf_counter()
            found = np.array(action())
            for _ in range(_SETTLE - 1 if perf_counter() - begin < _SLOW else 0):
                action()
        except (EdgesrError, RuntimeError, ImportError) as error:
            sides.absent[name] = " ".join(str(error).split())[:300]
            continue
        expected = found if expected is None else expected
        sides.actions[name] = action
        sides.differences[name] = float(np.abs(found - expected).max() / np.abs(expected).max())
    sides.picked = "; ".join(notes)
    return sides


def _pytorch(network: Network, *, compiled: bool) -> Callable[[], Any]:
    import torch

    module = torch.compile(network.module) if compiled else network.module

    def forward() -> Any:
        with torch.inference_mode():
            out = module(*network.inputs)
        return (out if isinstance(out, torch.Tensor) else out[0]).numpy()

    return forward


def _onnxruntime(network: Network, threads: int) -> Callable[[], Any]:
    session = bare_session(str(network.path), threads)
    first = session.get_outputs()[0].name
    feeds = {name: np.ascontiguousarray(array) for name, array in network.feeds.items()}
    return lambda: session.run([first], feeds)[0]


def _seam(backend: Backend, network: Network) -> Callable[[], Any]:
    """Run through edgesr's seam into buffers that are bound once."""
    engine = backend.load(network.path)
    inputs = {}
    for name, array in network.feeds.items():
        inputs[name] = backend.empty(array.shape, array.dtype)
        inputs[name].copy_from(array)
    first = next(iter(engine.outputs))
    shape = engine.run(inputs)[first].shape
    outputs = {first: backend.empty(shape, engine.outputs[first].dtype)}

    def run() -> Any:
        engine.run(inputs, outputs)
        return outputs[first].numpy()

    return run
