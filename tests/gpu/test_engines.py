"""Build, compare, capture and time: the same tests on the doubles and, with ``pytest -m gpu``, on a real GPU."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from benchmarks.builds.engines import measure_engine
from benchmarks.builds.kernels import kernel_times
from edgesr.compile.compare_engine import compare_engine
from edgesr.compile.exchange import BuildRequest
from edgesr.compile.feeds import run_copies
from edgesr.compile.graph import Graph
from edgesr.compile.inspection import inspect_loaded
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import fixed, ranged
from edgesr.compile.typed import Typed, convert
from edgesr.engines import open_backend
from edgesr.errors import BackendError, ModelError
from tests import networks
from tests.compile.samples import feeds, ranges, unet

# Largest difference from ONNX Runtime's FP32, relative to the largest value; FP32 may round to TensorFloat-32.
CLOSE = {"fp32": 2e-3, "fp16": 1e-2, "int8": 0.1, "int8-fp16": 0.1}
SHAPE = (1, 16, 32, 32)


@pytest.fixture
def graph(tmp_path) -> Graph:
    return Graph.read(networks.convolution_x(tmp_path / "n.onnx", channels=16, depth=4))


@pytest.fixture
def runs():
    return [{"image": np.abs(feed["image"]) % 1} for feed in feeds("image", SHAPE, 3)]


def typed_as(graph: Graph, precision: str, runs) -> Typed:
    return convert(graph, ranges(graph, runs), precision)


def build(machine, typed: Typed, folder, profile=None):
    """Build a network and return the open backend and the engine's file."""
    backend = machine.open()
    onnx, path = folder / "typed.onnx", folder / "typed.engine"
    onnx.write_bytes(typed.graph.bytes())
    options = BuildOptions(profile or fixed({"image": SHAPE}))
    path.write_bytes(machine.build(BuildRequest(onnx, options, backend.device.index)).plan)
    return backend, path


def loaded(backend, path, feed):
    """Load an engine and return it with its inputs filled and outputs of fixed addresses."""
    engine = backend.load(path)
    inputs = {}
    for name, spec in engine.inputs.items():
        inputs[name] = backend.empty(feed[name].shape, spec.dtype)
        inputs[name].copy_from(feed[name].astype(spec.dtype))
    shapes = {name: buffer.shape for name, buffer in engine.run(inputs).items()}
    outputs = {name: backend.empty(shapes[name], spec.dtype) for name, spec in engine.outputs.items()}
    return engine, inputs, outputs


@pytest.mark.parametrize("precision", list(CLOSE))
def test_an_engine_computes_in_its_precision_what_onnx_runtime_computes(machine, precision, graph, runs, tmp_path):
    if precision == "int8-fp16" and machine.open().tensorrt.version < (10,):
        pytest.skip("INT8 beside FP16 needs opset 19, which TensorRT takes from 10 on")
    backend, path = build(machine, typed_as(graph, precision, runs), tmp_path)
    told = inspect_loaded(backend.tensorrt, path)
    assert told["runs_here"] is True
    for kind in {"fp16", "int8"} & set(precision.split("-")):
        # TensorRT 8 tells no types where shapes are dynamic.
        assert told["precision"].get(kind) or set(told["precision"]) == {"untold"}
    (expected,) = run_copies(open_backend("cpu"), graph.bytes(), runs[:1], tmp_path)
    engine, inputs, outputs = loaded(backend, path, runs[0])
    engine.run(inputs, outputs)
    for name, buffer in outputs.items():
        found = buffer.numpy().astype(np.float64)
        assert np.isfinite(found).all()
        peak = np.abs(expected[name]).max()
        assert np.abs(found - expected[name]).max() / peak < CLOSE[precision]
    engine.close()


def test_a_replayed_graph_gives_the_same_bits_as_plain_runs(machine, graph, runs, tmp_path):
    backend, path = build(machine, typed_as(graph, "fp16", runs), tmp_path)
    engine, inputs, outputs = loaded(backend, path, runs[0])
    plain = machine.open(graphs=False)
    reference, plain_inputs, plain_outputs = loaded(plain, path, runs[0])
    for feed in (*runs, runs[0]):
        inputs["image"].copy_from(feed["image"].astype(inputs["image"].dtype))
        plain_inputs["image"].copy_from(feed["image"].astype(inputs["image"].dtype))
        engine.run(inputs, outputs)
        reference.run(plain_inputs, plain_outputs)
        for name, buffer in outputs.items():
            np.testing.assert_array_equal(buffer.numpy(), plain_outputs[name].numpy())
    assert engine.graph_refusal is None
    engine.close()
    reference.close()


def test_shapes_may_change_inside_the_profile_and_not_leave_it(machine, graph, runs, tmp_path):
    sizes = ranged({"image": (1, 16, 8, 8)}, {"image": SHAPE}, {"image": (1, 16, 64, 64)})
    backend, path = build(machine, typed_as(graph, "fp32", runs), tmp_path, sizes)
    engine = backend.load(path)
    for side in (8, 24, 64, 8):
        image = np.full((1, 16, side, side), 0.5, np.float32)
        (expected,) = run_copies(open_backend("cpu"), graph.bytes(), [{"image": image}], tmp_path)
        given = backend.empty(image.shape, image.dtype)
        given.copy_from(image)
        for name, buffer in engine.run({"image": given}).items():
            np.testing.assert_allclose(buffer.numpy(), expected[name], rtol=2e-2, atol=2e-3)
    large = backend.empty((1, 16, 65, 65), np.dtype(np.float32))
    with pytest.raises(BackendError, match="65, 65"):
        engine.run({"image": large})
    engine.close()


def test_every_layer_is_close_to_fp32(machine, graph, runs):
    typed = typed_as(graph, "fp16", runs)
    backend = machine.open()
    precisions = typed.precisions()
    comparison = compare_engine(graph, typed.graph, runs, backend, precisions=precisions, build=machine.build)
    assert comparison.runs == len(runs)
    assert max(layer.error for layer in comparison.layers) < 0.02


def test_a_diffusion_network_of_many_operators_is_built_and_close(machine, tmp_path):
    graph = unet(tmp_path)
    random = np.random.default_rng(5)
    data = [{name: random.standard_normal(graph.shapes[name]).astype(np.float32) for name in graph.inputs}]
    times = measure_engine(
        "unet",
        typed_as(graph, "fp16", data),
        data[0],
        run_copies(open_backend("cpu"), graph.bytes(), data, tmp_path)[0],
        machine.open,
        rounds=3,
        build=machine.build,
    )
    assert times.note == ""
    assert max(times.output.values()) < 0.05


def test_times_are_measured_and_the_graph_is_no_slower(machine, graph, runs, tmp_path):
    expected = run_copies(open_backend("cpu"), graph.bytes(), runs[:1], tmp_path)[0]
    rounds = 50 if machine.is_real else 2
    times = measure_engine(
        "net", typed_as(graph, "fp16", runs), runs[0], expected, machine.open, rounds=rounds, build=machine.build
    )
    assert (times.note, times.graph_refusal) == ("", "")
    assert len(times.plain) == len(times.graph) == len(times.kernels) == rounds
    if machine.is_real:
        assert statistics.median(times.graph) < 1.5 * statistics.median(times.plain)
        assert 0 < statistics.median(times.kernels) < 10 * statistics.median(times.graph)


def test_the_profiler_counts_every_run(machine, graph, runs, tmp_path):
    backend, path = build(machine, typed_as(graph, "fp32", runs), tmp_path)
    times = kernel_times(backend, path, runs[0], 3)
    assert len(times) == 3
    assert min(times) > 0


def test_a_cut_engine_is_refused_in_one_line(machine, graph, runs, tmp_path):
    backend, path = build(machine, typed_as(graph, "fp32", runs), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError) as refused:
        backend.load(path).close()
    assert "\n" not in str(refused.value)
