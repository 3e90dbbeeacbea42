"""The TensorRT backend on the doubles of every version: loading, shapes, profiles, memory, errors and closing."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgesr.engines import open_backend, trt
from edgesr.engines.cuda import Device, Stream
from edgesr.engines.cuda_memory import DeviceBuffer, MappedBuffer
from edgesr.engines.cuda_probe import is_mapped_faster
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.ort import OrtBackend
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_context import new_context
from edgesr.errors import BackendError, ModelError, OutOfMemoryError, UsageError
from tests import networks
from tests.engines.doubles import DoubleBackend, build
from tests.fakes.cudart import FakeCudart, Gpu
from tests.fakes.dlpack import DlpackArray
from tests.fakes.tensorrt import VERSIONS, Tensorrt

FLOAT = np.dtype(np.float32)


@pytest.fixture(params=VERSIONS)
def backend(request):
    opened = DoubleBackend(request.param)
    yield opened
    opened.check()


def filled(backend, array):
    buffer = backend.empty(array.shape, array.dtype)
    buffer.copy_from(array)
    return buffer


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def affine_plan(backend, folder: Path, *profiles, name="affine", flags=()) -> Path:
    plan = folder / f"{name}.engine"
    assert build(backend.double, networks.affine(folder / "a.onnx"), plan, *profiles, flags=flags)
    return plan


def affine_inputs(backend, x, gain=1.0):
    return {"x": filled(backend, x), "gain": filled(backend, np.array([gain], np.float32))}


def run_affine(backend, engine, x, gain=1.0):
    out = {"y": backend.empty(x.shape, FLOAT)}
    engine.run(affine_inputs(backend, x, gain), out)
    return out["y"].numpy()


# Loading


def test_a_plan_of_another_version_is_refused_from_its_header(backend, tmp_path):
    other = "10.3.0" if backend.version[0] != 10 else "8.6.1"
    plan = tmp_path / "other.engine"
    build(Tensorrt(other), networks.affine(tmp_path / "a.onnx"), plan)
    with pytest.raises(ModelError, match=rf"other\.engine was built by TensorRT {other}.*build it again"):
        backend.load(plan)
    assert "deserialize" not in str(backend.double.faults)


def test_a_damaged_plan_is_refused_with_what_tensorrt_said(backend, tmp_path):
    plan = affine_plan(backend, tmp_path)
    content = plan.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x10
    for damaged in (content[:-7], content[:40], bytes(flipped), content + b"x"):
        plan.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"cannot load affine\.engine .*Serialization.*edgesr build"):
            backend.load(plan)


def test_a_plan_of_another_gpu_is_refused_with_what_tensorrt_said(tmp_path):
    for version in VERSIONS:
        plan = tmp_path / f"{version}.engine"
        other = Tensorrt(version, FakeCudart(Gpu(compute_capability=(8, 6))))
        build(other, networks.affine(tmp_path / "a.onnx"), plan)
        backend = DoubleBackend(version)
        with pytest.raises(ModelError, match=r"expecting compute 8\.7 got compute 8\.6.*another GPU: build it again"):
            backend.load(plan)
        backend.check()


def test_a_version_compatible_plan_needs_trust_and_then_runs(tmp_path):
    plan = tmp_path / "vc.engine"
    build(Tensorrt("10.3.0"), networks.affine(tmp_path / "a.onnx"), plan, flags=["VERSION_COMPATIBLE"])
    refusing = DoubleBackend("10.16.1.11")
    with pytest.raises(ModelError, match=r"was built by TensorRT 10\.3\.0"):
        refusing.load(plan)
    refusing.check()
    trusting = DoubleBackend("10.16.1.11", host_code=True)
    x = random(1, 2, 4, 4)
    np.testing.assert_allclose(run_affine(trusting, trusting.load(plan), x), x + 0.5, rtol=1e-6)
    trusting.check()


def test_an_engine_for_the_accelerator_goes_to_its_core(backend, tmp_path):
    plan = affine_plan(backend, tmp_path)
    record = {"facts": {"options": {"dla_core": 1}}}
    plan.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(BackendError, match=r"has no DLA that TensorRT can use, and DLA core 1 was asked for"):
        backend.load(plan)
    backend.double.faults["dla_cores"] = 2
    x = random(1, 2, 4, 4)
    np.testing.assert_allclose(run_affine(backend, backend.load(plan), x), x + 0.5, rtol=1e-6)
    for other in ("{", "[]", '{"facts": {"options": {"dla_core": null}}}'):
        plan.with_suffix(".json").write_text(other)
        backend.load(plan)
    assert backend.double.loaded_on == [1, -1, -1, -1]


def test_a_context_that_tensorrt_refuses_is_explained(backend, tmp_path):
    plan = affine_plan(backend, tmp_path)
    backend.double.faults["context"] = "Error Code 2: OutOfMemory (no further information)"
    with pytest.raises(BackendError, match=r"affine\.engine: cannot make an execution context: Error Code 2"):
        backend.load(plan)
    backend.double.faults["context"] = "CUDA out of memory"
    with pytest.raises(OutOfMemoryError, match="smaller --tile"):
        backend.load(plan)


def test_an_engine_with_types_that_numpy_lacks_is_refused(backend, tmp_path, monkeypatch):
    bf16 = backend.api.flag("DataType", "BF16") or backend.api.flag("DataType", "FP8")
    monkeypatch.setattr(backend.double, "data_type", lambda dtype: bf16)
    with pytest.raises(ModelError, match=rf"tensor 'x' has type {bf16.name}"):
        backend.load(affine_plan(Host(backend), tmp_path))


class Host:
    """A second double of the same version, to build with."""

    def __init__(self, backend):
        version = ".".join(map(str, backend.version))
        self.double = Tensorrt(version)


# Running


def test_outputs_match_onnx_runtime_bit_for_bit(backend, tmp_path):
    path = networks.convolution_x(tmp_path / "sr.onnx")
    x = random(1, 1, 33, 17)
    reference = OrtBackend("cpu", threads=1)
    expected = reference.load(path).run({"image": filled(reference, x)})["upscaled"].numpy()
    out = backend.load(path).run({"image": filled(backend, x)})
    np.testing.assert_array_equal(out["upscaled"].numpy(), expected)


def test_nothing_waits_until_the_result_is_read(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    inputs, out = affine_inputs(backend, random(1, 2, 4, 4)), {"y": backend.empty((1, 2, 4, 4), FLOAT)}
    engine.run(inputs, out)
    before = backend.fake.calls["cudaStreamSynchronize"] + backend.fake.calls["cudaEventSynchronize"]
    engine_again = {"y": backend.empty((1, 2, 4, 4), FLOAT)}
    engine.run(inputs, engine_again)
    after = backend.fake.calls["cudaStreamSynchronize"] + backend.fake.calls["cudaEventSynchronize"]
    assert after == before


def test_inputs_may_be_let_go_as_soon_as_the_run_is_enqueued(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    out = {"y": backend.empty((1, 2, 4, 4), FLOAT)}
    x = random(1, 2, 4, 4)
    engine.run(affine_inputs(backend, x, 3.0), out)
    gc.collect()
    np.testing.assert_allclose(out["y"].numpy(), x * 3 + 0.5, rtol=1e-6)


def test_int64_tensors_are_int32_before_version_10(backend, tmp_path):
    nodes = [helper.make_node("Add", ["a", "a"], ["b"])]
    path = networks.save(
        tmp_path / "i.onnx",
        nodes,
        [networks.tensor("a", 3, kind=TensorProto.INT64)],
        [networks.tensor("b", 3, kind=TensorProto.INT64)],
    )
    engine = backend.load(path)
    expected = np.int32 if backend.version < (10,) else np.int64
    assert engine.inputs["a"].dtype == engine.outputs["b"].dtype == expected
    out = engine.run({"a": filled(backend, np.array([1, 2, 3], expected))})
    np.testing.assert_array_equal(out["b"].numpy(), [2, 4, 6])


def test_half_precision_tensors_stay_half(backend, tmp_path):
    nodes = [helper.make_node("Add", ["a", "a"], ["b"])]
    half = {"kind": TensorProto.FLOAT16}
    path = networks.save(
        tmp_path / "h.onnx", nodes, [networks.tensor("a", 1, 3, **half)], [networks.tensor("b", 1, 3, **half)]
    )
    engine = backend.load(path)
    out = engine.run({"a": filled(backend, np.array([[1, 2, 3]], np.float16))})
    assert out["b"].dtype == np.float16
    np.testing.assert_array_equal(out["b"].numpy(), [[2, 4, 6]])


def test_a_shape_outside_the_profile_is_named_with_its_range(backend, tmp_path):
    plan = affine_plan(backend, tmp_path, {"x": [(1, 2, 4, 4), (1, 2, 8, 8), (1, 2, 16, 16)]})
    engine = backend.load(plan)
    with pytest.raises(BackendError, match=r"takes 'x' from \(1, 2, 4, 4\) to \(1, 2, 16, 16\), got \(1, 2, 3, 4\)"):
        run_affine(backend, engine, random(1, 2, 3, 4))
    x = random(1, 2, 16, 4)
    np.testing.assert_allclose(run_affine(backend, engine, x), x + 0.5, rtol=1e-6)


def test_the_profile_follows_the_shape_and_comes_back(backend, tmp_path):
    small = {"x": [(1, 2, 1, 1), (1, 2, 4, 4), (1, 2, 8, 8)]}
    large = {"x": [(1, 2, 8, 8), (1, 2, 16, 16), (1, 2, 32, 32)]}
    engine = backend.load(affine_plan(backend, tmp_path, small, large))
    assert [profile["x"][1] for profile in engine.profiles] == [(1, 2, 4, 4), (1, 2, 16, 16)]
    for n in (4, 16, 5, 32, 8, 4):
        x = random(1, 2, n, n, seed=n)
        np.testing.assert_allclose(run_affine(backend, engine, x, 2.0), x * 2 + 0.5, rtol=1e-6)
    with pytest.raises(BackendError, match="and 1 other profiles"):
        run_affine(backend, engine, random(1, 2, 33, 4))


def test_an_output_of_a_size_unknown_beforehand_needs_no_buffer_of_ours(backend, tmp_path):
    engine = backend.load(networks.compaction(tmp_path / "c.onnx"))
    values = filled(backend, np.array([1, -1, 2], np.float32))
    kept = [engine.run({"x": values})["y"] for _ in range(3)]
    assert len({buffer.ptr for buffer in kept}) == 3
    for buffer in kept:
        np.testing.assert_array_equal(buffer.numpy(), [1, 2])
    nothing = engine.run({"x": filled(backend, np.array([-1, -2], np.float32))})["y"]
    assert nothing.shape == (0,)
    with pytest.raises(BackendError, match=r"size of output 'y' depends on the data; run without output buffers"):
        engine.run({"x": values}, {"y": backend.empty((2,), FLOAT)})
    assert backend.fake.calls["cudaStreamBeginCapture"] == 0


def test_an_output_without_memory_raises_out_of_memory(backend, tmp_path):
    engine = backend.load(networks.compaction(tmp_path / "c.onnx"))
    values = filled(backend, np.array([1, -1, 2], np.float32))
    engine.run({"x": values})
    backend.fake.fail("cudaMalloc", 2)
    with pytest.raises(OutOfMemoryError):
        engine.run({"x": values})
    np.testing.assert_array_equal(engine.run({"x": values})["y"].numpy(), [1, 2])


def test_a_refused_enqueue_raises_what_tensorrt_said_and_the_next_run_works(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    x = random(1, 2, 4, 4)
    backend.double.faults["enqueue"] = "Error Code 1: Cuda Driver (invalid resource handle)"
    with pytest.raises(BackendError, match=r"affine\.engine: failed: .*invalid resource handle"):
        run_affine(backend, engine, x)
    backend.double.faults["enqueue"] = "CUDA error 2: out of memory"
    with pytest.raises(OutOfMemoryError, match="use a smaller --tile"):
        run_affine(backend, engine, x)
    backend.double.faults.clear()
    np.testing.assert_allclose(run_affine(backend, engine, x), x + 0.5, rtol=1e-6)


def test_an_output_buffer_of_the_wrong_size_is_named_with_the_right_one(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    with pytest.raises(
        BackendError, match=r"output 'z' has shape \(1, 1, 4, 4\) for these inputs, got .*\(1, 1, 4, 5\)"
    ):
        engine.run(affine_inputs(backend, random(1, 2, 4, 4)), {"z": backend.empty((1, 1, 4, 5), FLOAT)})


# Memory


def test_engines_of_one_backend_share_activation_memory(backend, tmp_path):
    small = backend.load(affine_plan(backend, tmp_path))
    x = random(1, 2, 4, 4)
    run_affine(backend, small, x)
    before = backend.fake.memory.used(0)
    large = backend.load(networks.convolution_x(tmp_path / "sr.onnx", depth=6))
    image = filled(backend, random(1, 1, 8, 8))
    large.run({"image": image}, {"upscaled": backend.empty((1, 1, 16, 16), FLOAT)})
    again = backend.load(affine_plan(backend, tmp_path, name="again"))
    for engine in (again, small, large, small):
        if engine is not large:
            np.testing.assert_allclose(run_affine(backend, engine, x), x + 0.5, rtol=1e-6)
    gc.collect()
    scratch = [a for a in backend.fake.memory.live if a.size in (256 * 4, 256 * 14)]
    assert len([a for a in backend.fake.memory.live if a.size == before]) <= 1
    assert len(scratch) <= 1


def test_a_context_with_memory_of_its_own_serves_where_sharing_is_refused(backend, tmp_path, monkeypatch):
    plan = affine_plan(backend, tmp_path)
    native = backend.double.bindings.classes["ICudaEngine"]
    if backend.version < (10,):
        monkeypatch.setattr(native, "create_execution_context_without_device_memory", lambda self: None)
    else:
        original = native.create_execution_context
        monkeypatch.setattr(native, "create_execution_context", lambda self, *a: None if a else original(self))
    engine = backend.load(plan)
    x = random(1, 2, 4, 4)
    for gain in (1.0, 2.0):
        np.testing.assert_allclose(run_affine(backend, engine, x, gain), x * gain + 0.5, rtol=1e-6)


def test_mapped_buffers_serve_as_inputs_and_outputs(tmp_path):
    for version in VERSIONS:
        backend = DoubleBackend(version, is_mapped=True)
        engine = backend.load(affine_plan(backend, tmp_path, name=version))
        x = random(1, 2, 4, 4)
        np.testing.assert_allclose(run_affine(backend, engine, x), x + 0.5, rtol=1e-6)
        assert backend.fake.calls["cudaMemcpyAsync"] == 0
        backend.check()


@pytest.mark.parametrize("is_faster", [True, False])
def test_the_first_engine_decides_between_mapped_memory_and_copies(tmp_path, monkeypatch, is_faster):
    for version in VERSIONS:
        backend = DoubleBackend(version, is_mapped=None)
        tried = []

        def choose(stream, prepare, backend=backend, tried=tried):
            # The clock is that of the fake GPU, on which mapped memory saves the copies, unless it is slow.
            tried.append(1)
            clock = lambda: backend.fake.stream(stream.handle).clock  # noqa: E731
            found = is_mapped_faster(stream, prepare, clock=clock)
            assert found
            return is_faster

        monkeypatch.setattr(trt, "is_mapped_faster", choose)
        engine = backend.load(affine_plan(backend, tmp_path, name=f"{version}{is_faster}"))
        backend.load(tmp_path / f"{version}{is_faster}.engine")
        assert tried == [1]
        assert isinstance(backend.empty((4,), FLOAT), MappedBuffer if is_faster else DeviceBuffer)
        x = random(1, 2, 4, 4)
        np.testing.assert_allclose(run_affine(backend, engine, x), x + 0.5, rtol=1e-6)
        del engine
        backend.check()


def test_an_engine_that_cannot_be_tried_is_loaded_all_the_same(tmp_path):
    for version in VERSIONS:
        backend = DoubleBackend(version, is_mapped=None)
        engine = backend.load(networks.compaction(tmp_path / f"{version}.onnx"))
        assert isinstance(backend.empty((4,), FLOAT), DeviceBuffer)
        out = engine.run({"x": filled(backend, np.array([1, -1, 2], np.float32))})["y"].numpy()
        np.testing.assert_array_equal(out, [1, 2])
        del engine, out
        backend.check()


def test_a_gpu_with_memory_of_its_own_tries_nothing(tmp_path):
    backend = DoubleBackend("10.3.0", fake=FakeCudart(Gpu(is_integrated=False)), is_mapped=None)
    backend.load(affine_plan(backend, tmp_path))
    assert isinstance(backend.empty((4,), FLOAT), DeviceBuffer)
    assert backend.fake.calls["TensorRT"] == 0
    backend.check()


def test_a_full_device_raises_out_of_memory(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    backend.fake.fail("cudaMalloc", 2)
    with pytest.raises(OutOfMemoryError):
        backend.empty((4,), FLOAT)
    inputs = affine_inputs(backend, random(1, 2, 4, 4))
    backend.fake.fail("cudaMalloc", 2)
    with pytest.raises(OutOfMemoryError):
        engine.run(inputs)
    assert engine.run(inputs)["y"].shape == (1, 2, 4, 4)


# Foreign streams and memory


def test_work_goes_onto_a_foreign_stream_and_leaves_it_to_its_owner(tmp_path):
    for version in VERSIONS:
        fake = FakeCudart()
        cuda = CudaRuntime(fake, "fake")
        owner = Stream(cuda, Device(cuda))
        backend = DoubleBackend(version, fake=fake, stream=owner.handle)
        assert backend.stream.handle == owner.handle
        x = random(1, 2, 4, 4)
        engine = backend.load(affine_plan(backend, tmp_path, name=version))
        for gain in (1.0, 2.0, 3.0):
            np.testing.assert_allclose(run_affine(backend, engine, x, gain), x * gain + 0.5, rtol=1e-6)
        del engine
        backend.close()
        owner.synchronize()
        owner.close()
        backend.check()


def test_dlpack_arrays_are_inputs_and_outputs_without_a_copy(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    x = random(1, 2, 4, 4)
    theirs, result = filled(backend, x), backend.empty(x.shape, FLOAT)
    arrays = [DlpackArray(theirs), DlpackArray(result)]
    inputs = {"x": backend.foreign(arrays[0]), "gain": filled(backend, np.array([2], np.float32))}
    outputs = {"y": backend.foreign(arrays[1])}
    for _ in range(3):
        engine.run(inputs, outputs)
    assert (inputs["x"].ptr, outputs["y"].ptr) == (theirs.ptr, result.ptr)
    assert all(array.asked == [backend.stream.handle] for array in arrays)
    np.testing.assert_allclose(result.numpy(), x * 2 + 0.5, rtol=1e-6)
    backend.synchronize()
    del inputs, outputs
    gc.collect()
    assert [array.deleted for array in arrays] == [1, 1]


def test_threads_that_share_an_engine_take_turns(backend, tmp_path):
    engine, failures, inside = backend.load(affine_plan(backend, tmp_path)), [], []
    machine = backend.double.machine
    enqueue = machine.enqueue

    def alone(*args):
        inside.append(threading.get_ident())
        assert set(inside) == {threading.get_ident()}, "two runs of one engine at a time"
        time.sleep(0.0005)
        done = enqueue(*args)
        inside.clear()
        return done

    machine.enqueue = alone

    def work(seed):
        try:
            for turn in range(8):
                x = random(1, 2, 3 + seed, 4, seed=10 * seed + turn)
                np.testing.assert_allclose(run_affine(backend, engine, x, 2.0), x * 2 + 0.5, rtol=1e-6)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    machine.enqueue = enqueue


def test_arrays_of_other_libraries_are_inputs_without_a_copy(backend, tmp_path):
    class DeviceArray:
        def __init__(self, buffer):
            self.__cuda_array_interface__ = buffer.__cuda_array_interface__

    engine = backend.load(affine_plan(backend, tmp_path))
    x = random(1, 2, 4, 4)
    theirs = filled(backend, x)
    ours = backend.foreign(DeviceArray(theirs))
    out = {"y": backend.empty(x.shape, FLOAT)}
    engine.run({"x": ours, "gain": filled(backend, np.array([2], np.float32))}, out)
    assert ours.ptr == theirs.ptr
    np.testing.assert_allclose(out["y"].numpy(), x * 2 + 0.5, rtol=1e-6)


# Devices, threads and closing


def test_a_part_of_an_array_that_begins_between_tensorrts_addresses_is_named(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    theirs = filled(backend, random(2, 2, 4, 4))
    part = backend.foreign(DlpackArray(theirs, shape=(1, 2, 4, 4), offset=128))
    whole = affine_inputs(backend, random(1, 2, 4, 4))
    with pytest.raises(BackendError, match=r"input 'x' begins at 0x[0-9a-f]+80, .* 256 bytes .*copy_from_device"):
        engine.run({"x": part, "gain": whole["gain"]})
    with pytest.raises(BackendError, match=r"output 'y' begins at .* 256 bytes"):
        engine.run(whole, {"y": part})
    engine.run(whole, {"y": backend.empty((1, 2, 4, 4), FLOAT)})


def test_layers_that_are_kept_for_the_inspector_do_not_mark_every_enqueue(backend, tmp_path):
    verbosity = backend.double.module.ProfilingVerbosity
    for built, marks in (("DETAILED", verbosity.LAYER_NAMES_ONLY), ("NONE", verbosity.NONE)):
        plan = tmp_path / f"{built}.engine"
        assert build(backend.double, networks.affine(tmp_path / "a.onnx"), plan, verbosity=built)
        native = backend.api.runtime().deserialize_cuda_engine(plan.read_bytes())
        context, _ = new_context(backend.api, native, is_shared=True)
        assert context.nvtx_verbosity == marks


def test_devices_are_named_and_counted(monkeypatch):
    fake = FakeCudart(Gpu(), Gpu(name="second"))
    backend = DoubleBackend("10.3.0", fake=fake, device="tensorrt:1")
    assert (backend.name, backend.device.name) == ("tensorrt:1", "second")
    backend.check()
    for device, message in (("tensorrt:x", "has no device"), ("cuda", "has no device")):
        with pytest.raises(BackendError, match=message):
            DoubleBackend("10.3.0", device=device)
    with pytest.raises(BackendError, match=r"no GPU 3"):
        DoubleBackend("10.3.0", device="tensorrt:3")


def test_runs_on_the_second_gpu_come_from_any_thread(tmp_path):
    for version in VERSIONS:
        backend = DoubleBackend(version, fake=FakeCudart(Gpu(), Gpu()), device="tensorrt:1")
        engine = backend.load(affine_plan(backend, tmp_path, name=version))
        x, results = random(1, 2, 4, 4), []
        thread = threading.Thread(target=lambda b=backend, e=engine, r=results, x=x: r.append(run_affine(b, e, x)))
        thread.start()
        thread.join()
        np.testing.assert_allclose(results[0], x + 0.5, rtol=1e-6)
        results.clear()
        del engine, thread
        backend.check()


def test_closing_while_work_is_pending_waits_for_it(backend, tmp_path):
    engine = backend.load(affine_plan(backend, tmp_path))
    out = {"y": backend.empty((1, 2, 4, 4), FLOAT)}
    engine.run(affine_inputs(backend, random(1, 2, 4, 4)), out)
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match=r"affine\.engine is closed"):
        engine.run({})
    assert np.isfinite(out["y"].numpy()).all()


def test_a_forgotten_engine_frees_itself_after_its_work(backend, tmp_path):
    out = {"y": backend.empty((1, 2, 4, 4), FLOAT)}
    inputs = affine_inputs(backend, random(1, 2, 4, 4))
    engine = backend.load(affine_plan(backend, tmp_path))
    for _ in range(3):
        engine.run(inputs, out)
    del engine
    gc.collect()
    assert np.isfinite(out["y"].numpy()).all()


def test_a_closed_backend_says_so(backend, tmp_path):
    plan = affine_plan(backend, tmp_path)
    engine = backend.load(plan)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.load(plan)
    with pytest.raises(BackendError, match="closed"):
        engine.run({})
    with pytest.raises(BackendError, match="closed"):
        backend.empty((1,), FLOAT)


def test_open_backend_finds_tensorrt(monkeypatch):
    fake = FakeCudart()
    monkeypatch.setitem(sys.modules, "tensorrt", Tensorrt("10.3.0", fake).module)
    monkeypatch.setattr(CudaRuntime, "load", classmethod(lambda cls: CudaRuntime(fake, "fake")))
    for device in ("tensorrt", "tensorrt:0", "auto"):
        backend = open_backend(device)
        assert isinstance(backend, TrtBackend)
        backend.close()
    assert open_backend("cpu").name == open_backend("auto", providers=["CPUExecutionProvider"]).name
    with pytest.raises(UsageError, match="providers"):
        open_backend("tensorrt", providers=["CPUExecutionProvider"])
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        open_backend("tpu")


def test_auto_goes_on_to_onnx_runtime_where_no_gpu_answers(monkeypatch):
    blind = FakeCudart(driver=None)
    monkeypatch.setitem(sys.modules, "tensorrt", Tensorrt("10.3.0", FakeCudart()).module)
    monkeypatch.setattr(CudaRuntime, "load", classmethod(lambda cls: CudaRuntime(blind, "fake")))
    assert open_backend("auto").name.startswith("onnxruntime")
    with pytest.raises(BackendError, match="driver"):
        open_backend("tensorrt")


def test_an_onnx_file_is_not_mistaken_for_an_engine(tmp_path):
    backend = DoubleBackend("10.3.0")
    path = networks.affine(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"a\.onnx is no TensorRT engine; build one from it with `edgesr build`"):
        TrtBackend.load(backend, path)
    assert onnx.load(path).graph.node
    backend.check()
