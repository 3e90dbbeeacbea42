"""Every backend that the conformance suite runs on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from edgesr.compile.builder import build_plan
from edgesr.compile.choices import ChoiceStore
from edgesr.compile.fastest import FastestCpu
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import ranged
from edgesr.engines.base import Backend
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.openvino import OpenVinoBackend
from edgesr.engines.ort import OrtBackend
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_engine import TrtEngine
from edgesr.errors import BackendError
from edgesr.model.onnx_file import read_graph
from tests.engines.doubles import WIDE, DoubleBackend
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt

_BUILDING = threading.Lock()


class BuiltBackend(TrtBackend):
    """TensorRT, real or a double, with engines that edgesr itself builds for any size."""

    def load(self, path: Path) -> TrtEngine:
        plan = path.with_suffix(".engine")
        with _BUILDING:
            if path.suffix == ".onnx" and path.exists() and not plan.exists():
                self._build(path, plan)
        return super().load(plan if plan.exists() else path)

    def _build(self, path: Path, plan: Path) -> None:
        inputs = {tensor.name: tensor.shape for tensor in read_graph(path).inputs if -1 in (tensor.shape or ())}
        sizes = [{name: tuple(n if d < 0 else d for d in shape) for name, shape in inputs.items()} for n in WIDE]
        plan.write_bytes(build_plan(self.tensorrt, path, BuildOptions(ranged(*sizes))).plan)


def _built_double() -> BuiltBackend:
    fake = FakeCudart()
    return BuiltBackend(tensorrt=TensorRt(Tensorrt("10.3.0", fake).module), cuda=CudaRuntime(fake, "fake"))


def _fastest() -> FastestCpu:
    """Both runtimes, measured at the first run."""
    OpenVinoBackend(threads=2)
    return FastestCpu(threads=2, store=ChoiceStore(2), note=lambda text: None, worth=0.0)


BACKENDS: dict[str, Callable[[], Backend]] = {
    "onnxruntime-cpu": lambda: OrtBackend("cpu", threads=2),
    "onnxruntime-cuda": lambda: OrtBackend("cuda"),
    "openvino-cpu": lambda: OpenVinoBackend(threads=2),
    "fastest-cpu": _fastest,
    "tensorrt-10.3.0-double-built": _built_double,
    "tensorrt-gpu": BuiltBackend,
    **{f"tensorrt-{version}-double": partial(DoubleBackend, version) for version in VERSIONS},
}


_ON_A_GPU = ("onnxruntime-cuda", "tensorrt-gpu")
_MAY_BE_ABSENT = (*_ON_A_GPU, "openvino-cpu", "fastest-cpu")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.gpu if name in _ON_A_GPU else ()) for name in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    try:
        opened = BACKENDS[request.param]()
    except BackendError as error:
        if request.param not in _MAY_BE_ABSENT:
            raise
        pytest.skip(str(error))
    yield opened
    opened.close()
    if isinstance(opened, DoubleBackend):
        opened.check()
