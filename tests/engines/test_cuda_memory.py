"""Buffers on the fake library: right data in the right order, and everything given back."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from edgesr.engines.cuda import Device, Stream
from edgesr.engines.cuda_memory import DeviceBuffer, MappedBuffer, PinnedBuffer
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError, OutOfMemoryError
from tests.fakes.cudart import FakeCudart, Gpu
from tests.fakes.gpu import FLOAT, open_bench

KINDS = [DeviceBuffer, MappedBuffer, PinnedBuffer]


@pytest.fixture
def gpu():
    with open_bench() as bench:
        yield bench


def values(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["f4", "f2", "u1", "i1", "?", "i8", "u2"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1,), (), (0, 4)])
def test_values_go_in_and_come_out(gpu, kind, dtype, shape):
    array = (values(*shape) * 100).astype(dtype) if shape else np.array(3, dtype)
    buffer = kind(gpu.runtime, gpu.stream, shape, np.dtype(dtype))
    assert (buffer.shape, buffer.dtype, buffer.nbytes) == (shape, np.dtype(dtype), array.nbytes)
    assert buffer.ptr
    buffer.copy_from(array)
    np.testing.assert_array_equal(buffer.numpy(), array)
    assert buffer.numpy().dtype == array.dtype
    buffer.close()


@pytest.mark.parametrize("kind", KINDS)
def test_new_memory_is_not_zero_by_chance(gpu, kind):
    assert np.isnan(kind(gpu.runtime, gpu.stream, (4,), FLOAT).numpy()).all()


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_are_not_contiguous_are_taken(gpu, kind):
    array = values(6, 4).T[::2]
    buffer = kind(gpu.runtime, gpu.stream, array.shape, FLOAT)
    buffer.copy_from(array)
    np.testing.assert_array_equal(buffer.numpy(), array)


@pytest.mark.parametrize("kind", KINDS)
def test_other_shapes_and_types_are_refused(gpu, kind):
    buffer = kind(gpu.runtime, gpu.stream, (2, 3), FLOAT)
    for wrong in (np.zeros((3, 2), np.float32), np.zeros((2, 3)), np.zeros(6, np.float32)):
        with pytest.raises(BackendError, match="holds float32"):
            buffer.copy_from(wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_buffer_says_so_and_closes_twice(gpu, kind):
    buffer = kind(gpu.runtime, gpu.stream, (2,), FLOAT)
    buffer.close()
    buffer.close()
    for use in (lambda: buffer.ptr, lambda: buffer.copy_from(np.zeros(2, np.float32)), buffer.numpy):
        with pytest.raises(BackendError, match="buffer is closed"):
            use()
    assert not gpu.fake.memory.live


def test_a_closed_buffer_with_staging_says_so_too(gpu):
    buffer = gpu.buffer([1, 2])
    buffer.close()
    with pytest.raises(BackendError, match="buffer is closed"):
        buffer.download()
    with pytest.raises(BackendError, match="buffer is closed"):
        buffer.copy_from_device(gpu.buffer([1, 2]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgotten_buffer_is_collected(gpu, kind):
    buffer = kind(gpu.runtime, gpu.stream, (8,), FLOAT)
    buffer.copy_from(values(8))
    buffer.me = buffer
    del buffer
    gc.collect()
    assert not gpu.fake.memory.live


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_outlives_its_buffer(gpu, kind):
    buffer = kind(gpu.runtime, gpu.stream, (8,), FLOAT)
    buffer.copy_from(values(8))
    array = buffer.numpy()[2:]
    buffer.close()
    del buffer
    gc.collect()
    np.testing.assert_array_equal(array, values(8)[2:])
    assert len(gpu.fake.memory.live) == 1
    del array
    assert not gpu.fake.memory.live


def test_a_device_buffer_takes_no_pinned_memory_before_its_first_copy(gpu):
    buffer = DeviceBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    assert [allocation.kind for allocation in gpu.fake.memory.live] == ["device"]
    buffer.close()


def test_after_the_first_frame_nothing_is_allocated(gpu):
    a, b = gpu.buffer(values(8)), gpu.buffer(values(8))
    gpu.scale(b, a, 2)
    b.numpy()
    made = {name: count for name, count in gpu.fake.calls.items() if "Alloc" in name or "Malloc" in name}
    created = gpu.fake.calls["cudaEventCreateWithFlags"]
    for seed in range(5):
        a.copy_from(values(8, seed=seed))
        gpu.scale(b, a, 2)
        np.testing.assert_array_equal(b.numpy(), values(8, seed=seed) * 2)
    assert made == {name: gpu.fake.calls[name] for name in made}
    assert created == gpu.fake.calls["cudaEventCreateWithFlags"]


def test_the_given_array_may_change_as_soon_as_the_copy_is_enqueued(gpu):
    array = values(16)
    buffer = gpu.buffer(array)
    before = array.copy()
    array[:] = -1
    np.testing.assert_array_equal(buffer.numpy(), before)


def test_a_second_copy_does_not_overtake_the_run_between(gpu):
    a, b, c = gpu.buffer(values(8)), gpu.buffer(np.zeros(8)), gpu.buffer(np.zeros(8))
    gpu.scale(b, a, 2)
    a.copy_from(values(8, seed=1))
    gpu.scale(c, a, 2)
    np.testing.assert_array_equal(b.numpy(), values(8) * 2)
    np.testing.assert_array_equal(c.numpy(), values(8, seed=1) * 2)


def test_a_mapped_buffer_is_not_overwritten_while_a_run_reads_it(gpu):
    source = MappedBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    source.copy_from(values(8))
    target = gpu.buffer(np.zeros(8))
    gpu.scale(target, source, 2)
    source.copy_from(values(8, seed=1))
    np.testing.assert_array_equal(target.numpy(), values(8) * 2)


def test_a_mapped_buffer_copies_nothing(gpu):
    source, target = (MappedBuffer(gpu.runtime, gpu.stream, (8,), FLOAT) for _ in range(2))
    source.copy_from(values(8))
    gpu.scale(target, source, 3)
    np.testing.assert_array_equal(target.numpy(), values(8) * np.float32(3))
    np.testing.assert_array_equal(target.download().numpy(), values(8) * np.float32(3))
    assert not gpu.fake.calls["cudaMemcpyAsync"]
    assert not gpu.fake.calls["cudaMalloc"]


def test_a_mapped_buffer_has_the_address_of_the_device(gpu):
    mapped = MappedBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    pinned = PinnedBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    assert mapped.ptr != mapped.numpy().ctypes.data
    assert gpu.fake.memory.require("device", mapped.ptr, 32).kind == "mapped"
    assert pinned.ptr == pinned.numpy().ctypes.data


def test_staging_filled_in_place_saves_a_copy(gpu):
    buffer = DeviceBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    for seed in range(3):
        staging = buffer.staging()
        staging[:] = values(8, seed=seed)
        buffer.copy_from(staging)
        np.testing.assert_array_equal(buffer.numpy(), values(8, seed=seed))


def test_staging_waits_for_the_copy_that_reads_it(gpu):
    a, b = gpu.buffer(values(8)), gpu.buffer(np.zeros(8))
    gpu.scale(b, a, 1)
    a.staging()[:] = -1
    np.testing.assert_array_equal(b.numpy(), values(8))


def test_copies_on_the_device_stay_there(gpu):
    a, b = gpu.buffer(values(8)), gpu.buffer(np.zeros(8))
    b.copy_from_device(a)
    a.copy_from(values(8, seed=1))
    np.testing.assert_array_equal(b.numpy(), values(8))
    with pytest.raises(BackendError, match=r"holds float32 \(8,\), got float32 \(4,\)"):
        b.copy_from_device(gpu.buffer(values(4)))


def test_a_copy_on_the_device_waits_for_the_other_buffers_stream(gpu):
    other = Stream(gpu.runtime, gpu.device)
    source = DeviceBuffer(gpu.runtime, other, (8,), FLOAT)
    source.copy_from(values(8))
    target = gpu.buffer(np.zeros(8))
    target.copy_from_device(source)
    np.testing.assert_array_equal(target.numpy(), values(8))
    source.close()
    other.close()


def test_uploads_on_another_stream_are_seen_by_later_work(gpu):
    copies = Stream(gpu.runtime, gpu.device)
    a, b = gpu.buffer(values(8)), gpu.buffer(np.zeros(8))
    gpu.scale(b, a, 1)
    a.copy_from(values(8, seed=1), stream=copies)
    np.testing.assert_array_equal(b.numpy(), values(8))
    gpu.scale(b, a, 1)
    np.testing.assert_array_equal(b.numpy(), values(8, seed=1))
    copies.close()


def test_downloads_on_another_stream_see_earlier_work(gpu):
    copies = Stream(gpu.runtime, gpu.device)
    a, b = gpu.buffer(values(8)), gpu.buffer(np.zeros(8))
    gpu.scale(b, a, 2)
    download = b.download(stream=copies)
    assert not download.event.is_done
    np.testing.assert_array_equal(download.numpy(), values(8) * 2)
    copies.close()


def test_double_buffering_overlaps_copies_with_runs_and_mixes_up_no_frame(gpu):
    """Two sets of buffers and two copy streams: frame n + 1 goes up and frame n - 1 comes down while n runs."""
    up, down = Stream(gpu.runtime, gpu.device), Stream(gpu.runtime, gpu.device)
    sets = [(gpu.buffer(np.zeros(64)), gpu.buffer(np.zeros(64))) for _ in range(2)]
    gpu.stream.synchronize()
    ran, downloads, results = [None, None], {}, []
    for n in range(6):
        source, target = sets[n % 2]
        source.copy_from(values(64, seed=n), stream=up, after=ran[n % 2])
        if n >= 2:
            results.append(downloads.pop(n - 2).numpy().copy())
        gpu.scale(target, source, n + 1)
        ran[n % 2] = gpu.stream.record()
        downloads[n] = target.download(stream=down)
    results += [downloads[n].numpy().copy() for n in (4, 5)]
    for n, result in enumerate(results):
        np.testing.assert_array_equal(result, values(64, seed=n) * np.float32(n + 1))
    up.close()
    down.close()


def test_an_overlapping_upload_does_not_wait_for_the_run_of_the_other_buffer(gpu):
    up = Stream(gpu.runtime, gpu.device)
    a, b, out = (gpu.buffer(np.zeros(8)) for _ in range(3))
    ready = gpu.stream.record()
    ran = []
    gpu.fake.enqueue(gpu.stream.handle, lambda: ran.append(1), label="long run", uses=[(a.ptr, 32), (out.ptr, 32)])
    b.copy_from(values(8), stream=up, after=ready)
    up.synchronize()
    assert not ran
    b.copy_from(values(8), stream=up)
    up.synchronize()
    assert ran
    up.close()


def test_closing_waits_for_a_download_on_another_stream(gpu):
    copies = Stream(gpu.runtime, gpu.device)
    buffer = gpu.buffer(values(8))
    download = buffer.download(stream=copies)
    buffer.close()
    np.testing.assert_array_equal(download.numpy(), values(8))
    forgotten = gpu.buffer(values(8))
    forgotten.download(stream=copies)
    del forgotten
    gc.collect()
    copies.close()


@pytest.mark.parametrize("how", ["close", "forget"])
@pytest.mark.parametrize("kind", [DeviceBuffer, MappedBuffer])
def test_freeing_waits_for_the_runs_that_use_the_buffer(gpu, kind, how):
    source, target = kind(gpu.runtime, gpu.stream, (8,), FLOAT), gpu.buffer(np.zeros(8))
    source.copy_from(values(8))
    gpu.stream.synchronize()
    gpu.scale(target, source, 2)
    if how == "close":
        source.close()
    del source
    gc.collect()
    assert not gpu.fake.violations
    np.testing.assert_array_equal(target.numpy(), values(8) * 2)


def test_buffers_may_be_closed_after_their_stream(gpu):
    stream = Stream(gpu.runtime, gpu.device)
    buffers = [kind(gpu.runtime, stream, (8,), FLOAT) for kind in KINDS]
    buffers[0].copy_from(values(8))
    stream.close()
    for buffer in buffers:
        buffer.close()
    assert not gpu.fake.memory.live


def test_a_full_device_raises_out_of_memory_and_recovers():
    with open_bench(Gpu(total_memory=1 << 20)) as gpu:
        held = DeviceBuffer(gpu.runtime, gpu.stream, (1 << 19,), np.dtype(np.uint8))
        with pytest.raises(OutOfMemoryError, match=r"cudaMalloc failed with cudaErrorMemoryAllocation \(2\).*--tile"):
            DeviceBuffer(gpu.runtime, gpu.stream, ((1 << 19) + 1,), np.dtype(np.uint8))
        held.close()
        DeviceBuffer(gpu.runtime, gpu.stream, ((1 << 19) + 1,), np.dtype(np.uint8)).close()


@pytest.mark.parametrize("kind", [MappedBuffer, PinnedBuffer])
def test_pinned_memory_may_run_out_too(gpu, kind):
    gpu.fake.fail("cudaHostAlloc", 2)
    with pytest.raises(OutOfMemoryError, match="cudaHostAlloc failed"):
        kind(gpu.runtime, gpu.stream, (8,), FLOAT)


def test_staging_that_does_not_fit_leaves_the_buffer_usable(gpu):
    buffer = DeviceBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    gpu.fake.fail("cudaHostAlloc", 2)
    with pytest.raises(OutOfMemoryError):
        buffer.copy_from(values(8))
    buffer.copy_from(values(8))
    np.testing.assert_array_equal(buffer.numpy(), values(8))


def test_a_mapping_that_fails_frees_the_memory(gpu):
    gpu.fake.fail("cudaHostGetDevicePointer", 801)
    with pytest.raises(BackendError, match=r"cudaHostGetDevicePointer failed.*cannot do this"):
        MappedBuffer(gpu.runtime, gpu.stream, (8,), FLOAT)
    gc.collect()
    assert not gpu.fake.memory.live


def test_buffers_are_freed_quietly_after_the_context_is_lost(recwarn):
    fake = FakeCudart()
    runtime = CudaRuntime(fake, "fake")
    stream = Stream(runtime, Device(runtime))
    buffers = [kind(runtime, stream, (8,), FLOAT) for kind in KINDS]
    buffers[0].copy_from(values(8))
    fake.lose_context(700)
    with pytest.raises(BackendError, match="went outside its memory"):
        buffers[0].numpy()
    buffers[0].close()
    del buffers, stream
    gc.collect()
    assert not recwarn.list
    assert not fake.violations


@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_made_on_another_thread_lies_on_its_streams_device(kind):
    with open_bench(Gpu(), Gpu(), index=1) as gpu:
        made = []
        thread = threading.Thread(target=lambda: made.append(kind(gpu.runtime, gpu.stream, (8,), FLOAT)))
        thread.start()
        thread.join()
        assert [allocation.gpu for allocation in gpu.fake.memory.live] == [1]
        made.pop().close()


def test_buffers_work_from_any_thread_on_their_own_device():
    with open_bench(Gpu(), Gpu(), index=1) as gpu:
        failures = []

        def work(seed):
            try:
                stream = Stream(gpu.runtime, gpu.device)
                for kind in KINDS:
                    buffer = kind(gpu.runtime, stream, (32,), FLOAT)
                    for step in range(10):
                        buffer.copy_from(values(32, seed=seed + step))
                        if not np.array_equal(buffer.numpy(), values(32, seed=seed + step)):
                            failures.append(seed)
                    buffer.close()
                stream.close()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert not gpu.fake.memory.live
