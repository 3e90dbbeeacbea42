"""A fake GPU with everything opened, for tests: leaves nothing behind, or fails."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesr.engines.cuda import Device, Stream
from edgesr.engines.cuda_memory import DeviceBuffer
from edgesr.engines.cudart import CudaRuntime
from tests.fakes.cudart import FakeCudart, Gpu

FLOAT = np.dtype(np.float32)


@dataclass
class Bench:
    """A fake library with a runtime, a device and a stream on it."""

    fake: FakeCudart
    runtime: CudaRuntime
    device: Device
    stream: Stream

    def buffer(self, values: Any) -> DeviceBuffer:
        array = np.asarray(values, np.float32)
        buffer = DeviceBuffer(self.runtime, self.stream, array.shape, array.dtype)
        buffer.copy_from(array)
        return buffer

    def scale(self, target: Any, source: Any, factor: float, stream: Stream | None = None) -> bool:
        """Enqueue ``target = source * factor`` as a kernel on float32 buffers."""

        # A kernel knows addresses only, and keeps no buffer alive.
        places = [(buffer.ptr, buffer.shape) for buffer in (target, source)]

        def run() -> None:
            written, read = (self.fake.array(ptr, shape, FLOAT) for ptr, shape in places)
            np.copyto(written, read * np.float32(factor))

        uses = [(target.ptr, target.nbytes), (source.ptr, source.nbytes)]
        handle = (stream or self.stream).handle
        return self.fake.enqueue(handle, run, label="scale", uses=uses) == 0


@contextmanager
def open_bench(*gpus: Gpu, index: int = 0, **options: Any) -> Iterator[Bench]:
    """Open a bench and check at the end that all of it was given back; options are FakeCudart's."""
    fake = FakeCudart(*gpus, **options)
    runtime = CudaRuntime(fake, "libcudart-fake.so")
    device = Device(runtime, index)
    bench = Bench(fake, runtime, device, Stream(runtime, device))
    yield bench
    bench.stream.close()
    gc.collect()
    fake.check()


def violating(call: Callable[[], Any], fake: FakeCudart) -> str:
    """Run a call that breaks a rule of CUDA; return the violation and strike it off the fake's list."""
    before = len(fake.violations)
    try:
        call()
    except Exception:
        pass
    assert len(fake.violations) > before, "the fake accepted it"
    text = fake.violations[before]
    del fake.violations[before:]
    fake.forget_errors()
    return text
