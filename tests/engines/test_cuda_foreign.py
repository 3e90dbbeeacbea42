"""Memory of other libraries, by protocol: arrays of pycuda, CuPy and Numba, PyTorch tensors, jetson-utils images."""

from __future__ import annotations

import ctypes
import gc
from types import SimpleNamespace

import numpy as np
import pytest

from edgesr.engines.cuda import Device, Stream
from edgesr.engines.cuda_memory import DeviceBuffer, ForeignBuffer, MappedBuffer, foreign
from edgesr.errors import BackendError
from tests.fakes.cudart import Gpu
from tests.fakes.dlpack import DlpackArray
from tests.fakes.gpu import FLOAT, open_bench


@pytest.fixture
def gpu():
    with open_bench() as bench:
        yield bench


def interface(array, **changes):
    """What another library's array offers, with some entries changed."""
    return SimpleNamespace(__cuda_array_interface__={**array.__cuda_array_interface__, **changes}, keeps=array)


@pytest.fixture
def array(gpu):
    buffer = gpu.buffer([[1, 2, 3], [4, 5, 6]])
    yield buffer
    buffer.close()


def test_our_buffers_offer_the_interface_in_version_3(gpu, array):
    assert array.__cuda_array_interface__ == {
        "version": 3,
        "shape": (2, 3),
        "typestr": "<f4",
        "data": (array.ptr, False),
        "strides": None,
        "stream": gpu.stream.handle,
    }
    mapped = MappedBuffer(gpu.runtime, gpu.stream, (4,), np.dtype(np.uint8))
    assert mapped.__cuda_array_interface__["data"] == (mapped.ptr, False)
    assert mapped.__cuda_array_interface__["typestr"] == "|u1"


def test_the_default_stream_is_offered_as_1_because_0_is_forbidden(gpu):
    buffer = DeviceBuffer(gpu.runtime, Stream.from_handle(gpu.runtime, 0), (1,), FLOAT)
    assert buffer.__cuda_array_interface__["stream"] == 1


@pytest.mark.parametrize("stream", [None, 1, 2, 0x50])
def test_an_interface_is_read(array, stream):
    ptr, shape, dtype, on = foreign(interface(array, stream=stream))
    assert (ptr, shape, dtype, on) == (array.ptr, (2, 3), FLOAT, stream)


def test_an_older_interface_without_stream_and_strides_is_read(array):
    described = array.__cuda_array_interface__
    old = SimpleNamespace(__cuda_array_interface__={k: described[k] for k in ("shape", "typestr", "data")})
    assert tuple(foreign(old)) == (array.ptr, (2, 3), FLOAT, None)


@pytest.mark.parametrize("strides", [(12, 4), [12, 4]])
def test_strides_of_c_order_are_contiguous(array, strides):
    assert foreign(interface(array, strides=strides)).shape == (2, 3)


def test_strides_of_dimensions_of_one_element_do_not_matter(array):
    assert foreign(interface(array, shape=(1, 6), strides=(999, 4))).shape == (1, 6)
    assert foreign(interface(array, shape=(0, 6), strides=(999, 7))).shape == (0, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (4, 8)}, r"shape \(2, 3\) is not contiguous \(strides \(4, 8\)\)"),
        ({"strides": (24, 4)}, "not contiguous"),
        ({"stream": 0}, "stream 0, which is ambiguous"),
        ({"mask": object()}, "has a mask"),
    ],
)
def test_an_interface_that_cannot_be_used_is_refused(array, changes, message):
    with pytest.raises(BackendError, match=message):
        foreign(interface(array, **changes))


def test_what_offers_nothing_is_refused():
    with pytest.raises(BackendError, match="ndarray lies in host memory"):
        foreign(np.zeros(3))
    with pytest.raises(BackendError, match="list is no device array"):
        foreign([1, 2])


def test_dlpack_is_read_on_the_stream_that_will_use_it(array):
    tensor = DlpackArray(array)
    assert tuple(foreign(tensor, stream=0x50)) == (array.ptr, (2, 3), FLOAT, 0x50)
    assert tuple(foreign(tensor)) == (array.ptr, (2, 3), FLOAT, 1)
    assert tensor.asked == [0x50, 1]


@pytest.mark.parametrize(
    ("code", "bits", "dtype"),
    [
        (0, 8, "i1"),
        (0, 32, "i4"),
        (0, 64, "i8"),
        (1, 8, "u1"),
        (1, 16, "u2"),
        (2, 16, "f2"),
        (2, 64, "f8"),
        (6, 8, "?"),
    ],
)
def test_dlpack_types_are_numpys(array, code, bits, dtype):
    assert foreign(DlpackArray(array, code=code, bits=bits)).dtype == np.dtype(dtype)


@pytest.mark.parametrize("device", [2, 3, 13])
def test_dlpack_of_every_kind_that_a_gpu_reads_is_taken(array, device):
    assert foreign(DlpackArray(array, device=device)).ptr == array.ptr


def test_dlpack_offsets_and_strides_count(array):
    assert foreign(DlpackArray(array, shape=(1, 3), offset=12)).ptr == array.ptr + 12
    assert foreign(DlpackArray(array, strides=(3, 1))).shape == (2, 3)
    with pytest.raises(BackendError, match="not contiguous"):
        foreign(DlpackArray(array, strides=(1, 2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": 1}, "lies in host memory"),
        ({"code": 4, "bits": 16}, "type 4 of 16 bits x 1 has no NumPy type"),
        ({"lanes": 4}, "has no NumPy type"),
        ({"code": 0, "bits": 4}, "has no NumPy type"),
        ({"name": b"used_dltensor"}, "gave no unused 'dltensor' capsule"),
    ],
)
def test_dlpack_that_cannot_be_used_is_refused(array, changes, message):
    with pytest.raises(BackendError, match=message):
        foreign(DlpackArray(array, **changes))


def test_the_exporter_gets_its_memory_back_when_it_is_let_go(array):
    tensor = DlpackArray(array)
    memory = foreign(tensor)
    gc.collect()
    assert tensor.deleted == 0
    del memory
    gc.collect()
    assert tensor.deleted == 1


def test_a_foreign_array_is_a_buffer(gpu, array):
    buffer = ForeignBuffer(gpu.stream, interface(array, stream=None))
    assert (buffer.ptr, buffer.shape, buffer.dtype, buffer.nbytes) == (array.ptr, (2, 3), FLOAT, 24)
    np.testing.assert_array_equal(buffer.numpy(), [[1, 2, 3], [4, 5, 6]])
    buffer.copy_from(np.full((2, 3), 7, np.float32))
    np.testing.assert_array_equal(array.numpy(), np.full((2, 3), 7))
    buffer.copy_from_device(gpu.buffer(np.full((2, 3), 8)))
    np.testing.assert_array_equal(array.numpy(), np.full((2, 3), 8))
    buffer.close()
    buffer.close()
    assert array.ptr
    with pytest.raises(BackendError, match="buffer is closed"):
        buffer.numpy()


@pytest.mark.parametrize("wrap", [interface, DlpackArray])
def test_a_foreign_buffer_waits_for_the_stream_that_wrote_it(gpu, wrap):
    theirs = Stream(gpu.runtime, gpu.device)
    array = DeviceBuffer(gpu.runtime, theirs, (2,), FLOAT)
    array.copy_from(np.array([1, 2], np.float32))
    wrapped = wrap(array)
    if isinstance(wrapped, DlpackArray):
        wrapped.on_export = lambda handle: Stream.from_handle(gpu.runtime, handle).wait(theirs.record())
    buffer = ForeignBuffer(gpu.stream, wrapped)
    np.testing.assert_array_equal(buffer.numpy(), [1, 2])
    buffer.close()
    array.close()
    theirs.close()


def test_the_owner_sees_results_after_waiting_for_our_stream(gpu, array):
    theirs = Stream(gpu.runtime, gpu.device)
    result = DeviceBuffer(gpu.runtime, theirs, (2, 3), FLOAT)
    output = ForeignBuffer(gpu.stream, interface(result, stream=None))
    gpu.scale(output, array, 2)
    theirs.wait(gpu.stream.record())
    np.testing.assert_array_equal(result.numpy(), [[2, 4, 6], [8, 10, 12]])
    output.close()
    result.close()
    theirs.close()


def test_read_only_memory_is_not_written(gpu, array):
    buffer = ForeignBuffer(gpu.stream, interface(array, data=(array.ptr, True)))
    with pytest.raises(BackendError, match="read-only"):
        buffer.copy_from(np.zeros((2, 3), np.float32))
    with pytest.raises(BackendError, match="read-only"):
        buffer.copy_from_device(array)
    np.testing.assert_array_equal(buffer.numpy(), [[1, 2, 3], [4, 5, 6]])


def test_a_foreign_buffer_keeps_its_array_while_work_is_pending(gpu):
    theirs = Stream(gpu.runtime, gpu.device)
    for is_closed in (True, False):
        source = DeviceBuffer(gpu.runtime, theirs, (2,), FLOAT)
        source.copy_from(np.array([1, 2], np.float32))
        target = gpu.buffer([0, 0])
        buffer = ForeignBuffer(gpu.stream, source)
        gpu.scale(target, buffer, 2)
        if is_closed:
            buffer.close()
        del source, buffer
        gc.collect()
        np.testing.assert_array_equal(target.numpy(), [2, 4])
    theirs.close()


def test_an_image_in_mapped_memory_is_used_at_the_devices_address(gpu):
    """As jetson-utils offers its images: mapped memory under the host's address."""
    image = MappedBuffer(gpu.runtime, gpu.stream, (2,), FLOAT)
    image.copy_from(np.array([1, 2], np.float32))
    host = image.numpy().ctypes.data
    buffer = ForeignBuffer(gpu.stream, interface(image, data=(host, False)))
    assert buffer.ptr == image.ptr != host
    target = gpu.buffer([0, 0])
    gpu.scale(target, buffer, 2)
    np.testing.assert_array_equal(target.numpy(), [2, 4])


def test_host_memory_under_a_device_interface_is_refused(gpu, array):
    host = (ctypes.c_float * 6)()
    with pytest.raises(BackendError, match="is not memory of a GPU"):
        ForeignBuffer(gpu.stream, interface(array, data=(ctypes.addressof(host), False)))


def test_memory_of_another_gpu_is_refused():
    with open_bench(Gpu(), Gpu()) as gpu:
        other = Stream(gpu.runtime, Device(gpu.runtime, 1))
        array = DeviceBuffer(gpu.runtime, other, (2,), FLOAT)
        with pytest.raises(BackendError, match="lies on GPU 1, this network runs on GPU 0"):
            ForeignBuffer(gpu.stream, array)
        array.close()
        other.close()


def test_an_empty_foreign_array_has_no_address_to_check(gpu, array):
    buffer = ForeignBuffer(gpu.stream, interface(array, shape=(0, 3), data=(0, False)))
    assert buffer.numpy().shape == (0, 3)
