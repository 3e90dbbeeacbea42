"""What the restorer costs beyond the network itself, and the network's speed against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.runtime.networks import THIRD_PARTY, Subject
from benchmarks.timing import alternate

TOLERANCE = 2e-4
"""Largest difference, grey range 1, between PyTorch and ONNX Runtime for which they count as the same network."""


@dataclass(frozen=True)
class Comparison:
    """Seconds per picture of two ways to run one network, pair by pair."""

    subject: str
    first: list[float]
    """The restorer: uint8 picture in, uint8 picture out."""
    second: list[float]
    """What it is compared with: float32 tensors in and out."""
    note: str = ""
    """Why there is nothing to compare, when both lists are empty."""


def against_onnxruntime(subject: Subject, *, threads: int, loads: int, rounds: int) -> Comparison:
    """Time the restorer and a bare session of the same file, in turn; load both anew ``loads`` times."""
    path = subject.package().part_path("network")
    feeds = subject.feeds()
    first: list[float] = []
    second: list[float] = []
    for _ in range(loads):
        session = bare_session(str(path), threads)
        with subject.load(threads) as restorer:
            samples = alternate(
                {"restorer": partial(restorer, subject.picture), "session": partial(session.run, None, feeds)},
                rounds,
                warmup=2,
            )
        first += samples["restorer"]
        second += samples["session"]
    return Comparison(subject.name, first, second)


def against_pytorch(subject: Subject, *, threads: int, rounds: int) -> Comparison:
    """Time the restorer and the same network in PyTorch eager mode, in turn, after checking that the results agree."""
    try:
        forward = pytorch_network(subject, threads)
    except (ImportError, ValueError) as error:
        return Comparison(subject.name, [], [], f"left out: {error}")
    with subject.load(threads) as restorer:
        samples = alternate(
            {"restorer": lambda: restorer(subject.picture), "pytorch": forward}, rounds, warmup=2, pause=0.05
        )
    return Comparison(subject.name, samples["restorer"], samples["pytorch"])


def bare_session(path: str, threads: int) -> Any:
    """Open a plain ONNX Runtime session with default settings but for the number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def pytorch_network(subject: Subject, threads: int) -> Callable[[], Any]:
    """Return a function that runs the subject in PyTorch on the picture; see pytorch_module."""
    network, inputs = pytorch_module(subject, threads)

    def forward() -> Any:
        import torch

        with torch.inference_mode():
            return network(*inputs)

    return forward


def pytorch_module(subject: Subject, threads: int) -> tuple[Any, list[Any]]:
    """Return the subject as a PyTorch module with the weights of its ONNX file, and its input tensors, on the CPU.

    Raises ImportError without PyTorch and ValueError when the two are not the same network.
    """
    if subject.name in THIRD_PARTY:
        raise ValueError("this network exists as an ONNX file only")
    import torch

    from export.models.cxr import MODELS
    from export.weights_cxr import load_weights

    if subject.name not in MODELS:
        raise ValueError(f"export/models/cxr.py does not build {subject.name}")
    path = subject.package().part_path("network")
    network = MODELS[subject.name]().eval()
    load_weights(network, path)
    torch.set_num_threads(threads)
    feeds = subject.feeds()
    inputs = [torch.from_numpy(feeds[name]) for name in ("image", "fidelity", "degradation", "consistency", "quantum")]
    expected = bare_session(str(path), threads).run(["upscaled"], feeds)[0]
    with torch.inference_mode():
        found = network(*inputs)[0].numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ValueError(f"PyTorch and ONNX Runtime differ by {difference:.2g}")
    return network, inputs
