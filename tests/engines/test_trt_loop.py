"""Loops of TensorRT runs on the doubles of every version: one upload, one launch, one download."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.engines.base import LoopingEngine
from edgesr.engines.ort import OrtBackend
from edgesr.errors import BackendError
from tests import networks
from tests.engines.doubles import DoubleBackend
from tests.engines.test_trt import affine_plan, random, run_affine
from tests.fakes.tensorrt import VERSIONS

COUNTED = ("cudaMemcpyAsync", "cudaGraphLaunch", "cudaMalloc", "TensorRT")


@pytest.fixture(params=VERSIONS)
def backend(request):
    opened = DoubleBackend(request.param)
    yield opened
    opened.check()


def looped(engine, runs):
    """y = gain x + 0.5, where y becomes the next x and every run has its own gain."""
    shape = (1, 2, 3, 5)
    return engine.loop({"x": shape, "gain": (1,)}, {"y": shape}, runs=runs, tables=("gain",), carried={"y": "x"})


def values(runs, seed=0):
    return {"x": random(1, 2, 3, 5, seed=seed), "gain": random(runs, 1, seed=seed + 100)}


def expected(given):
    y = given["x"]
    for gain in given["gain"]:
        y = y * gain + np.float32(0.5)
    return y


@pytest.mark.parametrize("runs", [1, 2, 30])
def test_any_number_of_runs_is_one_copy_in_one_launch_and_one_copy_out(backend, tmp_path, runs):
    loop = looped(backend.load(affine_plan(backend, tmp_path)), runs)
    calls = backend.fake.calls
    for turn in range(5):
        given, before = values(runs, turn), calls.copy()
        np.testing.assert_allclose(loop(given)["y"], expected(given), rtol=1e-5)
        spent = {name: calls[name] - before[name] for name in COUNTED}
        if turn > 1:  # the first two load kernels and record the graph
            assert spent == {"cudaMemcpyAsync": 2, "cudaGraphLaunch": 1, "cudaMalloc": 0, "TensorRT": 0}
    loop.close()
    loop.close()


def test_a_loop_that_cannot_be_captured_runs_all_the_same(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    backend.double.faults["capture"] = True
    loop = looped(engine, 7)
    for turn in range(3):
        given = values(7, turn)
        np.testing.assert_allclose(loop(given)["y"], expected(given), rtol=1e-5)
    assert "capture" in engine.graph_refusal
    assert backend.fake.calls["cudaGraphLaunch"] == 0
    backend.fake.forget_errors()


def test_loops_and_single_runs_of_one_engine_take_turns(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    loops = {runs: looped(engine, runs) for runs in (3, 4)}
    for turn in range(4):
        x = random(1, 2, 4, 4, seed=turn)
        np.testing.assert_allclose(run_affine(backend, engine, x, 2.0), x * 2 + 0.5, rtol=1e-5)
        for runs, loop in loops.items():
            given = values(runs, turn)
            np.testing.assert_allclose(loop(given)["y"], expected(given), rtol=1e-5)


def test_a_loop_that_tensorrt_refuses_says_why_and_goes_on_afterwards(backend, tmp_path):
    loop = looped(backend.load(affine_plan(backend, tmp_path)), 3)
    backend.double.faults["enqueue"] = "Error Code 1: Cuda Runtime (out of memory)"
    with pytest.raises(BackendError, match="out of memory"):
        loop(values(3))
    backend.double.faults.clear()
    np.testing.assert_allclose(loop(values(3))["y"], expected(values(3)), rtol=1e-5)


def test_values_of_another_shape_are_named(backend, tmp_path):
    loop = looped(backend.load(affine_plan(backend, tmp_path)), 3)
    with pytest.raises(BackendError, match=r"the loop takes 'gain' of shape \(3, 1\), got \(4, 1\)"):
        loop(values(4))


def test_a_forgotten_loop_frees_its_memory_after_its_work(backend, tmp_path):
    loop = looped(backend.load(affine_plan(backend, tmp_path)), 3)
    loop(values(3))
    del loop


def test_only_engines_on_a_gpu_loop(tmp_path):
    backend = OrtBackend("cpu")
    assert not isinstance(backend.load(networks.affine(tmp_path / "a.onnx")), LoopingEngine)
    backend.close()
