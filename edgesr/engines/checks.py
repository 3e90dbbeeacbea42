"""What every backend checks before it runs, with the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgesr.engines.base import Buffer, TensorSpec
from edgesr.errors import BackendError
from edgesr.types import Array


def check_copy(array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise BackendError unless ``array`` has exactly ``shape`` and ``dtype``."""
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(f"the buffer holds {dtype} {shape}, got {array.dtype} {array.shape}")


def check_tensors(kind: str, buffers: Mapping[str, Buffer], specs: Mapping[str, TensorSpec], *, complete: bool) -> None:
    """Raise BackendError unless ``buffers`` fit ``specs``: known names, ranks, static sizes and dtypes."""
    for name, buffer in buffers.items():
        if name not in specs:
            raise BackendError(f"the network has no {kind} {name!r}; it has {', '.join(specs)}")
        spec = specs[name]
        if not spec.accepts(buffer.shape):
            raise BackendError(f"{kind} {name!r} takes shape {spec.shape} (-1 is any), got {buffer.shape}")
        if buffer.dtype != spec.dtype:
            raise BackendError(f"{kind} {name!r} takes {spec.dtype}, got {buffer.dtype}")
    missing = [name for name in specs if name not in buffers]
    if complete and missing:
        raise BackendError(f"{kind} {missing[0]!r} is missing")
    if not buffers and specs:
        raise BackendError(f"no {kind} buffers were given")
