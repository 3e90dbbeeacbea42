"""Machines with TensorRT: the doubles, so that these tests are known to work, and the real GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest

from edgesr.compile.build_process import build_in_process
from edgesr.compile.child import build_proven
from edgesr.compile.exchange import BuildRequest
from edgesr.compile.recipe import BuiltPlan
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError
from tests.engines.doubles import DoubleBackend
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS


@lru_cache(maxsize=1)
def why_no_gpu() -> str:
    """Say why the tests marked ``gpu`` cannot run here."""
    try:
        TrtBackend().close()
    except BackendError as error:
        return str(error)
    return ""


class RealMachine:
    """TensorRT and the GPU of this machine; builds run in a child process, as those of users do."""

    is_real = True

    def __init__(self) -> None:
        self._opened: list[TrtBackend] = []

    def open(self, graphs: bool = True) -> TrtBackend:
        self._opened.append(TrtBackend(graphs=graphs))
        return self._opened[-1]

    def build(self, request: BuildRequest) -> BuiltPlan:
        return build_in_process(request)

    def close(self) -> None:
        for backend in self._opened:
            backend.close()


class DoubleMachine:
    """The doubles of one version; nothing may be left behind on the fake GPU."""

    is_real = False

    def __init__(self, version: str) -> None:
        self._version = version
        self._fake = FakeCudart()
        self._opened: list[DoubleBackend] = []

    def open(self, graphs: bool = True) -> TrtBackend:
        self._opened.append(DoubleBackend(self._version, fake=self._fake, graphs=graphs))
        return self._opened[-1]

    def build(self, request: BuildRequest) -> BuiltPlan:
        return build_proven(TensorRt(self._opened[-1].double.module), request)

    def close(self) -> None:
        for backend in self._opened:
            backend.close()
        for backend in self._opened:
            backend.check()


@pytest.fixture(params=[*(f"{version}-double" for version in VERSIONS), pytest.param("gpu", marks=pytest.mark.gpu)])
def machine(request: pytest.FixtureRequest) -> Iterator[RealMachine | DoubleMachine]:
    if request.param == "gpu" and why_no_gpu():
        pytest.skip(why_no_gpu())
    made = RealMachine() if request.param == "gpu" else DoubleMachine(request.param.removesuffix("-double"))
    yield made
    made.close()
