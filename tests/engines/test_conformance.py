"""What every backend must do; a new backend is added in conftest.py and passes this file unchanged."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edgesr.engines.base import Backend, Buffer, TensorSpec
from edgesr.errors import BackendError, ModelError
from tests import networks

FLOAT = np.dtype(np.float32)


@pytest.fixture
def affine(tmp_path: Path) -> Path:
    return networks.affine(tmp_path / "affine.onnx")


def filled(backend: Backend, array: np.ndarray) -> Buffer:
    buffer = backend.empty(array.shape, array.dtype)
    buffer.copy_from(array)
    return buffer


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def test_an_engine_describes_its_tensors_with_dynamic_sizes_as_minus_one(backend, affine):
    engine = backend.load(affine)
    assert dict(engine.inputs) == {
        "x": TensorSpec("x", (-1, 2, -1, -1), FLOAT),
        "gain": TensorSpec("gain", (1,), FLOAT),
    }
    assert [(s.name, s.shape) for s in engine.outputs.values()] == [("y", (-1, 2, -1, -1)), ("z", (-1, 1, -1, -1))]


def test_a_run_writes_the_right_numbers_into_the_given_buffers(backend, affine):
    engine = backend.load(affine)
    x = random(1, 2, 5, 7)
    outputs = {"y": backend.empty((1, 2, 5, 7), FLOAT), "z": backend.empty((1, 1, 5, 7), FLOAT)}
    returned = engine.run({"x": filled(backend, x), "gain": filled(backend, np.array([2], np.float32))}, outputs)
    np.testing.assert_allclose(outputs["y"].numpy(), x * 2 + 0.5, rtol=1e-6)
    np.testing.assert_allclose(outputs["z"].numpy(), (x * 2 + 0.5).sum(1, keepdims=True), rtol=1e-6)
    assert returned["y"].ptr == outputs["y"].ptr


def test_one_output_of_several_may_be_asked_for(backend, affine):
    engine = backend.load(affine)
    x = random(1, 2, 3, 3)
    out = {"z": backend.empty((1, 1, 3, 3), FLOAT)}
    engine.run({"x": filled(backend, x), "gain": filled(backend, np.array([1], np.float32))}, out)
    np.testing.assert_allclose(out["z"].numpy(), (x + 0.5).sum(1, keepdims=True), rtol=1e-6)


def test_the_same_buffers_serve_many_runs(backend, affine):
    engine = backend.load(affine)
    x, gain = backend.empty((1, 2, 4, 4), FLOAT), filled(backend, np.array([3], np.float32))
    out = {"y": backend.empty((1, 2, 4, 4), FLOAT)}
    for seed in range(5):
        values = random(1, 2, 4, 4, seed=seed)
        x.copy_from(values)
        engine.run({"x": x, "gain": gain}, out)
        np.testing.assert_allclose(out["y"].numpy(), values * 3 + 0.5, rtol=1e-6)


def test_shapes_may_change_and_return(backend, affine):
    engine = backend.load(affine)
    gain = filled(backend, np.array([1], np.float32))
    for shape in [(1, 2, 4, 4), (1, 2, 9, 2), (3, 2, 1, 1), (1, 2, 4, 4)]:
        x = random(*shape)
        out = {"y": backend.empty(shape, FLOAT)}
        engine.run({"x": filled(backend, x), "gain": gain}, out)
        np.testing.assert_allclose(out["y"].numpy(), x + 0.5, rtol=1e-6)


def test_more_buffer_sets_than_any_cache_holds_still_give_right_numbers(backend, affine):
    engine = backend.load(affine)
    gain = filled(backend, np.array([1], np.float32))
    for n in [*range(1, 40), *range(1, 40)]:
        x = random(1, 2, n, 1, seed=n)
        out = {"y": backend.empty(x.shape, FLOAT)}
        engine.run({"x": filled(backend, x), "gain": gain}, out)
        np.testing.assert_allclose(out["y"].numpy(), x + 0.5, rtol=1e-6)


def test_without_output_buffers_the_backend_allocates_them(backend, tmp_path):
    engine = backend.load(networks.compaction(tmp_path / "c.onnx"))
    out = engine.run({"x": filled(backend, np.array([1, -1, 2, -3, 4], np.float32))})
    np.testing.assert_array_equal(out["y"].numpy(), [1, 2, 4])


def test_integer_inputs_keep_their_type(backend, tmp_path):
    engine = backend.load(networks.fixed_uint8(tmp_path / "u.onnx"))
    assert engine.inputs["x"].dtype == np.uint8
    x = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    out = engine.run({"x": filled(backend, x)}, {"y": backend.empty((1, 4, 4, 3), FLOAT)})
    np.testing.assert_array_equal(out["y"].numpy(), x / 2)


def test_a_buffer_refuses_an_array_of_another_shape_or_type(backend):
    buffer = backend.empty((2, 3), FLOAT)
    for wrong in (np.zeros((3, 2), np.float32), np.zeros((2, 3), np.float64), np.zeros((6,), np.float32)):
        with pytest.raises(BackendError, match="holds float32"):
            buffer.copy_from(wrong)


def test_a_buffer_takes_an_array_that_is_not_contiguous(backend):
    array = random(4, 6).T
    np.testing.assert_array_equal(filled(backend, array).numpy(), array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": ((1, 3, 4, 4), FLOAT)}, "takes shape"),
        ({"x": ((1, 2, 4), FLOAT)}, "takes shape"),
        ({"x": ((1, 2, 4, 4), np.dtype(np.float64))}, "takes float32"),
        ({"q": ((1,), FLOAT)}, "no input 'q'"),
        ({"x": None}, "'x' is missing"),
    ],
)
def test_a_wrong_input_is_named(backend, affine, change, message):
    engine = backend.load(affine)
    inputs = {"x": backend.empty((1, 2, 4, 4), FLOAT), "gain": backend.empty((1,), FLOAT)}
    for name, spec in change.items():
        inputs.pop(name, None)
        if spec is not None:
            inputs[name] = backend.empty(*spec)
    with pytest.raises(BackendError, match=message):
        engine.run(inputs)


def test_a_wrong_output_is_named(backend, affine):
    engine = backend.load(affine)
    inputs = {"x": backend.empty((1, 2, 4, 4), FLOAT), "gain": backend.empty((1,), FLOAT)}
    with pytest.raises(BackendError, match="no output 'q'"):
        engine.run(inputs, {"q": backend.empty((1,), FLOAT)})
    with pytest.raises(BackendError):
        engine.run(inputs, {"y": backend.empty((1, 2, 9, 9), FLOAT)})


def test_what_is_not_a_network_is_refused(backend, tmp_path):
    for name, content in (("text.onnx", b"hello"), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name):
            backend.load(tmp_path / name)
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        backend.load(tmp_path / "absent.onnx")


def test_a_closed_engine_says_so_and_closes_twice(backend, affine):
    engine = backend.load(affine)
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.run({"x": backend.empty((1, 2, 4, 4), FLOAT), "gain": backend.empty((1,), FLOAT)})


def test_engines_on_different_threads_do_not_disturb_each_other(backend, affine):
    failures: list[int] = []

    def work(seed: int) -> None:
        engine = backend.load(affine)
        gain = filled(backend, np.array([seed], np.float32))
        x = random(1, 2, 16, 16, seed=seed)
        out = {"y": backend.empty(x.shape, FLOAT)}
        source = filled(backend, x)
        for _ in range(20):
            engine.run({"x": source, "gain": gain}, out)
            if not np.allclose(out["y"].numpy(), x * seed + 0.5):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_bound_run_allocates_nothing_that_grows_with_the_picture(backend, affine):
    engine = backend.load(affine)
    inputs = {"x": filled(backend, random(1, 2, 512, 512)), "gain": filled(backend, np.array([1], np.float32))}
    outputs = {"y": backend.empty((1, 2, 512, 512), FLOAT), "z": backend.empty((1, 1, 512, 512), FLOAT)}
    engine.run(inputs, outputs)
    tracemalloc.start()
    engine.run(inputs, outputs)
    backend.synchronize()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
