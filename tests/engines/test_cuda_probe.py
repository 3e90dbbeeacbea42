"""Mapped memory or copies: decided by trying both with the network's own frames."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.engines.cuda_memory import DeviceBuffer, MappedBuffer
from edgesr.engines.cuda_probe import is_mapped_faster
from edgesr.errors import BackendError, OutOfMemoryError
from tests.fakes.cudart import Gpu
from tests.fakes.gpu import FLOAT, open_bench

FRAME = np.arange(4096, dtype=np.float32)


def probe(gpu, mapped_rate: float) -> bool:
    """Decide for a kernel that passes over its memory once, at ``mapped_rate`` bytes per ms where it is mapped."""

    def prepare(allocate):
        source, target = allocate(FRAME.shape, FLOAT), allocate(FRAME.shape, FLOAT)

        def frame() -> None:
            source.copy_from(FRAME)
            rate = mapped_rate if isinstance(source, MappedBuffer) else gpu.fake.bandwidth["on_device"]

            def run() -> None:
                np.copyto(gpu.fake.array(target.ptr, FRAME.shape, FLOAT), FRAME * 2)

            uses = [(source.ptr, source.nbytes), (target.ptr, target.nbytes)]
            gpu.fake.enqueue(gpu.stream.handle, run, label="network", uses=uses, milliseconds=2 * FRAME.nbytes / rate)
            np.testing.assert_array_equal(target.numpy(), FRAME * 2)

        return frame

    return is_mapped_faster(gpu.stream, prepare, clock=lambda: gpu.fake.stream(gpu.stream.handle).clock)


def test_mapped_memory_is_taken_where_the_gpu_reads_it_as_fast():
    with open_bench(Gpu(is_integrated=True)) as gpu:
        assert probe(gpu, mapped_rate=gpu.fake.bandwidth["on_device"])
        assert not gpu.fake.memory.live


def test_copies_are_taken_where_mapped_memory_is_slow_for_the_gpu():
    with open_bench(Gpu(is_integrated=True)) as gpu:
        assert not probe(gpu, mapped_rate=gpu.fake.bandwidth["on_device"] / 100)
        assert not gpu.fake.memory.live


def test_a_tie_goes_to_copies():
    with open_bench(Gpu(is_integrated=True)) as gpu:
        rates = gpu.fake.bandwidth
        copies = FRAME.nbytes / rates["to_device"] + FRAME.nbytes / rates["to_host"]
        kernel = 2 * FRAME.nbytes / rates["on_device"]
        assert not probe(gpu, mapped_rate=2 * FRAME.nbytes / ((kernel + copies) * 0.96))
        assert probe(gpu, mapped_rate=2 * FRAME.nbytes / ((kernel + copies) * 0.94))


@pytest.mark.parametrize("board", [Gpu(is_integrated=False), Gpu(can_map=False)])
def test_other_gpus_are_not_tried(board):
    with open_bench(board) as gpu:

        def prepare(allocate):
            raise AssertionError("tried")

        assert not is_mapped_faster(gpu.stream, prepare)


@pytest.mark.parametrize("error", [BackendError("the network failed"), OutOfMemoryError("full")])
def test_a_frame_that_fails_leaves_no_buffer_behind(error):
    with open_bench(Gpu(is_integrated=True)) as gpu:

        def prepare(allocate):
            assert isinstance(allocate((4,), FLOAT), DeviceBuffer)

            def frame() -> None:
                raise error

            return frame

        with pytest.raises(type(error), match=str(error)):
            is_mapped_faster(gpu.stream, prepare)
        assert not gpu.fake.memory.live
