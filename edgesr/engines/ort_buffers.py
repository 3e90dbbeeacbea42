"""Buffers of the ONNX Runtime backend, in host memory and in CUDA memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesr.engines.checks import check_copy
from edgesr.types import Array


class HostBuffer:
    """A buffer in host memory."""

    def __init__(self, array: Array) -> None:
        self._array = array

    @property
    def ptr(self) -> int:
        """Host address."""
        return int(self._array.ctypes.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in elements."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._array.dtype

    def copy_from(self, array: Array) -> None:
        """Copy ``array``, of this buffer's shape and dtype."""
        check_copy(array, self.shape, self.dtype)
        np.copyto(self._array, array)

    def wait(self) -> None:
        """Return at once: a run has ended when it returns."""

    def numpy(self) -> Array:
        """Return the memory itself, without a copy."""
        return self._array


class OrtValueBuffer:
    """A buffer in CUDA memory, owned by ONNX Runtime."""

    def __init__(self, value: Any, dtype: np.dtype[Any]) -> None:
        self._value = value
        self._dtype = dtype
        self._shape = tuple(value.shape())

    @property
    def ptr(self) -> int:
        """Device address."""
        return int(self._value.data_ptr())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in elements."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._dtype

    def copy_from(self, array: Array) -> None:
        """Copy ``array``, of this buffer's shape and dtype, to the device."""
        check_copy(array, self.shape, self.dtype)
        self._value.update_inplace(np.ascontiguousarray(array))

    def wait(self) -> None:
        """Return at once: a run has ended when it returns."""

    def numpy(self) -> Array:
        """Copy the content to the host."""
        array: Array = self._value.numpy()
        return array
