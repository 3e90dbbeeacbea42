"""Engines are timed on the GPU, without transfers, for the shapes that they are tuned for."""

from __future__ import annotations

import pytest

from edgesr.compile import engine_time as module
from edgesr.compile.builder import build_plan
from edgesr.compile.engine_time import engine_time
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import fixed
from edgesr.engines.cuda import Event
from tests import networks
from tests.engines.doubles import DoubleBackend
from tests.fakes.tensorrt import VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_median_of_the_runs_is_returned(version, tmp_path, monkeypatch):
    shapes = {"x": (1, 2, 8, 8), "gain": (1,)}
    backend = DoubleBackend(version)
    plan = tmp_path / "a.engine"
    plan.write_bytes(
        build_plan(backend.api, networks.affine(tmp_path / "a.onnx"), BuildOptions(profile=fixed(shapes))).plan
    )
    milliseconds = iter([5.0, 1.0, 9.0, *[3.0] * 300])
    monkeypatch.setattr(Event, "__sub__", lambda stop, start: next(milliseconds))
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    assert engine_time(backend, plan, shapes) == 3.0
    backend.check()
