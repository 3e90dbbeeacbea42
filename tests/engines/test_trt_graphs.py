"""CUDA graphs of TensorRT runs: when they are captured, replayed, made anew and given up; on the doubles."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from onnx import helper

from tests import networks
from tests.engines.doubles import DoubleBackend
from tests.engines.test_trt import FLOAT, affine_inputs, affine_plan, filled, random
from tests.fakes.cudart import FakeCudart, Gpu
from tests.fakes.tensorrt import VERSIONS


@pytest.fixture(params=VERSIONS)
def backend(request):
    opened = DoubleBackend(request.param)
    yield opened
    opened.check()


class Case:
    """One engine with one set of buffers, run by turns."""

    def __init__(self, backend, engine, n=4, gain=2.0):
        self.engine, self.gain = engine, gain
        self.x = backend.empty((1, 2, n, n), FLOAT)
        self.inputs = {"x": self.x, "gain": filled(backend, np.array([gain], np.float32))}
        self.out = {"y": backend.empty((1, 2, n, n), FLOAT)}
        self.n, self.turn = n, 0

    def run(self, times=1):
        for _ in range(times):
            self.turn += 1
            x = random(1, 2, self.n, self.n, seed=self.turn)
            self.x.copy_from(x)
            self.engine.run(self.inputs, self.out)
            np.testing.assert_allclose(self.out["y"].numpy(), x * self.gain + 0.5, rtol=1e-6)


def test_the_second_run_is_captured_by_the_book_and_the_rest_are_replayed(backend, tmp_path):
    case = Case(backend, backend.load(affine_plan(backend, tmp_path)))
    case.run()
    backend.fake.history.clear()
    case.run()
    calls = list(backend.fake.history)
    book = ["cudaStreamSynchronize", "cudaStreamBeginCapture", "TensorRT", "cudaStreamEndCapture"]
    book += ["cudaGraphInstantiateWithFlags", "cudaGraphLaunch"]
    positions = [calls.index(name) for name in book]
    assert positions == sorted(positions)
    assert calls.count("TensorRT") == 1
    assert not {"cudaMalloc", "cudaFree"} & set(calls[positions[1] : positions[3]])
    backend.fake.history.clear()
    case.run(5)
    assert backend.fake.history.count("cudaGraphLaunch") == 5
    assert "TensorRT" not in backend.fake.history
    assert case.engine.graph_refusal is None


def test_graphs_can_be_switched_off(tmp_path):
    for version in VERSIONS:
        backend = DoubleBackend(version, graphs=False)
        case = Case(backend, backend.load(affine_plan(backend, tmp_path, name=version)))
        case.run(4)
        assert backend.fake.calls["cudaStreamBeginCapture"] == 0
        assert case.engine.graph_refusal == "graphs are switched off"
        del case
        backend.check()


def test_other_addresses_are_captured_anew(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    first, second = Case(backend, engine), Case(backend, engine, gain=3.0)
    for case in (first, second, first, second):
        case.run(3)
    expected = 4 if backend.version < (10,) else 2
    assert backend.fake.calls["cudaGraphInstantiateWithFlags"] == expected


@pytest.mark.parametrize("scratch", [512, 0])
def test_buffers_that_take_turns_keep_a_graph_each_where_contexts_may_share_a_profile(backend, tmp_path, scratch):
    backend.double.faults["device_memory"] = scratch
    engine = backend.load(affine_plan(backend, tmp_path))
    cases = [Case(backend, engine, gain=float(i)) for i in range(3)]
    for _ in range(4):
        for case in cases:
            case.run()
    assert backend.fake.calls["cudaGraphInstantiateWithFlags"] == (0 if backend.version < (10,) else 3)


def test_a_shape_that_changes_is_captured_anew_and_never_replayed_wrongly(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    for n in (4, 6, 4, 9, 6):
        Case(backend, engine, n).run(3)


def test_more_buffer_sets_than_contexts_are_right_and_leave_nothing(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    cases = [Case(backend, engine, n, gain=float(n)) for n in range(1, 9)]
    for _ in range(2):
        for case in cases:
            case.run(2)


def test_a_refused_capture_leaves_plain_runs_and_says_why(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    case = Case(backend, engine)
    case.run()
    backend.double.faults["capture"] = True
    case.run(4)
    assert engine.graph_refusal
    assert backend.fake.calls["cudaStreamBeginCapture"] == backend.fake.calls["cudaStreamEndCapture"] == 1
    assert backend.fake.calls["cudaGraphLaunch"] == 0


@pytest.mark.parametrize("call", ["cudaStreamBeginCapture", "cudaGraphInstantiateWithFlags"])
def test_a_driver_that_cannot_capture_leaves_plain_runs_and_says_why(backend, tmp_path, call):
    engine = backend.load(affine_plan(backend, tmp_path))
    case = Case(backend, engine)
    case.run()
    backend.fake.fail(call, 801)
    case.run(4)
    assert call in (engine.graph_refusal or "")


def test_runs_without_output_buffers_are_not_captured_and_do_not_disturb_graphs(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    case = Case(backend, engine)
    case.run(3)
    for seed in range(3):
        x = random(1, 2, 5, 5, seed=seed)
        out = engine.run(affine_inputs(backend, x))
        np.testing.assert_allclose(out["y"].numpy(), x + 0.5, rtol=1e-6)
        np.testing.assert_allclose(out["z"].numpy(), (x + 0.5).sum(1, keepdims=True), rtol=1e-6)
    case.run(3)
    assert backend.fake.calls["cudaGraphInstantiateWithFlags"] == (2 if backend.version < (10,) else 1)


def test_activation_memory_that_moves_makes_graphs_anew(backend, tmp_path):
    case = Case(backend, backend.load(affine_plan(backend, tmp_path)))
    case.run(3)
    large = backend.load(networks.convolution_x(tmp_path / "sr.onnx", depth=6))
    large.run({"image": filled(backend, random(1, 1, 8, 8))})
    case.run(3)
    assert backend.fake.calls["cudaGraphInstantiateWithFlags"] == 2


def test_a_graph_is_destroyed_with_its_engine_after_the_last_launch(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    case = Case(backend, engine)
    case.run(2)
    engine.run(case.inputs, case.out)
    engine.close()
    assert backend.fake.calls["cudaGraphExecDestroy"] == 1


def test_graphs_of_engines_on_different_threads_hold_their_own_work_alone(backend, tmp_path):
    plan = affine_plan(backend, tmp_path)
    failures = []

    def work(seed):
        try:
            Case(backend, backend.load(plan), n=8, gain=float(seed)).run(12)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert backend.fake.calls["cudaGraphInstantiateWithFlags"] == 4


def test_a_second_backend_on_the_same_gpu_is_independent(tmp_path):
    for version in VERSIONS:
        first = DoubleBackend(version)
        second = DoubleBackend(version, fake=first.fake)
        cases = [Case(b, b.load(affine_plan(b, tmp_path, name=version))) for b in (first, second)]
        for _ in range(3):
            for case in cases:
                case.run()
        del cases, case
        second.close()
        first.check()


def test_what_other_threads_enqueue_during_a_capture_is_not_recorded(backend, tmp_path, monkeypatch):
    case = Case(backend, backend.load(affine_plan(backend, tmp_path)))
    case.run()
    bystander, machine, seen = backend.empty((3,), FLOAT), backend.double.machine, []
    enqueue = machine.enqueue

    def enqueue_beside(stream, run, uses):
        if machine.is_capturing(stream):
            beside = threading.Thread(target=lambda: bystander.copy_from(np.array([1, 2, 3], np.float32)))
            beside.start()
            beside.join()
            seen.append(stream)
        return enqueue(stream, run, uses)

    monkeypatch.setattr(machine, "enqueue", enqueue_beside)
    case.run(3)
    assert len(seen) == 1
    assert seen[0] != backend.stream.handle
    np.testing.assert_array_equal(bystander.numpy(), [1, 2, 3])
    assert case.engine.graph_refusal is None
    bystander.close()


def test_an_output_of_unknown_size_that_nobody_asked_for_still_forbids_a_capture(backend, tmp_path):
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["mask"]),
        helper.make_node("Compress", ["x", "mask"], ["some"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    tensors = [networks.tensor("some", "m"), networks.tensor("twice", "n")]
    zero = {"zero": np.array([0], np.float32)}
    engine = backend.load(networks.save(tmp_path / "two.onnx", nodes, [networks.tensor("x", "n")], tensors, zero))
    x, out = filled(backend, np.array([1, -1, 2], np.float32)), {"twice": backend.empty((3,), FLOAT)}
    for _ in range(4):
        engine.run({"x": x}, out)
    np.testing.assert_array_equal(out["twice"].numpy(), [2, -2, 4])
    assert backend.fake.calls["cudaStreamBeginCapture"] == 0


def test_a_thread_that_only_runs_gets_the_right_gpu(tmp_path):
    for version in VERSIONS:
        backend = DoubleBackend(version, fake=FakeCudart(Gpu(), Gpu()), device="tensorrt:1", graphs=False)
        case = Case(backend, backend.load(affine_plan(backend, tmp_path, name=version)))
        case.run()
        case.x.copy_from(np.ones((1, 2, 4, 4), np.float32))
        for _ in range(3):
            thread = threading.Thread(target=case.engine.run, args=(case.inputs, case.out))
            thread.start()
            thread.join()
        np.testing.assert_array_equal(case.out["y"].numpy(), np.full((1, 2, 4, 4), 2.5, np.float32))
        del case, thread
        backend.check()
