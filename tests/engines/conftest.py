"""Every backend that the conformance suite runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from edgesr.engines.base import Backend
from edgesr.engines.ort import OrtBackend
from tests.engines.doubles import DoubleBackend
from tests.fakes.tensorrt import VERSIONS

BACKENDS: dict[str, Callable[[], Backend]] = {
    "onnxruntime-cpu": lambda: OrtBackend("cpu", threads=2),
    "onnxruntime-cuda": lambda: OrtBackend("cuda"),
    **{f"tensorrt-{version}-double": partial(DoubleBackend, version) for version in VERSIONS},
}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.gpu if "cuda" in name else ()) for name in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if "cuda" in request.param and not Path("/dev/nvidia0").exists():
        pytest.skip("no NVIDIA GPU on this machine")
    if "cuda" in request.param:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            pytest.skip("this build of ONNX Runtime has no CUDA provider")
    opened = BACKENDS[request.param]()
    yield opened
    opened.close()
    if isinstance(opened, DoubleBackend):
        opened.check()
