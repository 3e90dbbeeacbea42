"""Frames that lie on the GPU (CuPy, pycuda, jetson-utils, PyTorch) into a TensorRT engine without a copy.

The engine takes what your preprocessing made there, for example float32 NCHW; edgesr.load does the same work from host
memory, with tiles and colour. python zero_copy.py net.engine
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesr.engines.base import Buffer


class DeviceEngine:
    """An engine whose inputs are arrays with ``__cuda_array_interface__`` or DLPack; results stay on the GPU.

    The results have ``__cuda_array_interface__`` themselves, so that ``cupy.asarray(result)`` copies nothing. They are
    valid until the next call.
    """

    def __init__(self, backend: Any, plan: Path) -> None:
        self.backend = backend
        self.engine = backend.load(plan)
        self.outputs: dict[str, Buffer] = {}

    def __call__(self, **arrays: Any) -> Mapping[str, Buffer]:
        """Run once on the arrays, each given by the name of its input."""
        inputs = {name: self.backend.foreign(array) for name, array in arrays.items()}
        # Outputs of dynamic shape are allocated by the first run and used again by the next.
        self.outputs = dict(self.engine.run(inputs, self.outputs or None))
        return self.outputs


def main(plan: str) -> None:
    """Run an engine of one image input on a CuPy array."""
    import cupy

    from edgesr.engines import open_backend

    with_stream = cupy.cuda.Stream(non_blocking=True)
    backend = open_backend("tensorrt")
    run = DeviceEngine(backend, Path(plan))
    ((name, spec),) = run.engine.inputs.items()
    with with_stream:
        frame = cupy.zeros([max(size, 64) for size in spec.shape], spec.dtype)  # your camera's frame
    with_stream.synchronize()
    for output, result in run(**{name: frame}).items():
        print(output, cupy.asarray(result).shape)
    backend.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
