"""Device memory of other libraries: ``__cuda_array_interface__`` (pycuda, CuPy, Numba, PyTorch) and DLPack.

Sources: the CUDA Array Interface, version 3 (Numba's documentation) and dlpack.h of DLPack 0.8.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from ctypes import c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesr.errors import BackendError

LEGACY_STREAM = 1
"""How both protocols name CUDA's default stream."""

_CUDA_DEVICES = {2: "CUDA", 3: "pinned host", 13: "managed"}
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


@dataclass(frozen=True)
class Foreign:
    """Device memory that another library owns; unpacks as ``ptr, shape, dtype, stream``.

    ``stream`` is the handle of the stream after whose work the memory may be used, None when at once.
    ``owner`` keeps the memory alive.
    """

    ptr: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int | None
    is_read_only: bool
    owner: Any

    def __iter__(self) -> Iterator[Any]:
        return iter((self.ptr, self.shape, self.dtype, self.stream))


def foreign(array: Any, *, stream: int = LEGACY_STREAM) -> Foreign:
    """Look at ``array``, which must be contiguous and on a GPU, through ``__cuda_array_interface__`` or DLPack.

    ``stream`` is the handle of the stream that will use the memory: a DLPack exporter is asked to order its own work
    before it. An owner of a ``__cuda_array_interface__`` names its own stream, for which the user has to wait.
    """
    if hasattr(array, "__cuda_array_interface__"):
        return _from_interface(array, array.__cuda_array_interface__)
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        return _from_dlpack(array, stream or LEGACY_STREAM)
    raise BackendError(
        f"{type(array).__name__} is no device array; pass one with __cuda_array_interface__ or __dlpack__"
    )


def stream_handle(stream: Any) -> int:
    """Return the integer handle of a stream of any library.

    Takes integers, ``__cuda_stream__`` (cuda.core, CuPy), ``cuda_stream`` (PyTorch), ``handle`` (pycuda) and ``ptr``
    (CuPy, Polygraphy).
    """
    if isinstance(stream, int) and not isinstance(stream, bool):
        handle: Any = stream
    elif hasattr(stream, "__cuda_stream__"):
        protocol = stream.__cuda_stream__
        handle = (protocol() if callable(protocol) else protocol)[1]
    else:
        names = ("cuda_stream", "handle", "ptr")
        handle = next((getattr(stream, name) for name in names if hasattr(stream, name)), None)
    handle = getattr(handle, "value", handle)
    if not isinstance(handle, int) or isinstance(handle, bool) or handle < 0:
        raise BackendError(f"not a CUDA stream: {stream!r}; pass its integer handle")
    return handle


def interface(ptr: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: int) -> dict[str, Any]:
    """Describe memory for ``__cuda_array_interface__``; ``stream`` is the handle of the stream that writes it."""
    return {
        "version": 3,
        "shape": shape,
        "typestr": dtype.str,
        "data": (ptr, False),
        "strides": None,
        "stream": stream or LEGACY_STREAM,
    }


def _from_interface(array: Any, described: dict[str, Any]) -> Foreign:
    shape, dtype = tuple(described["shape"]), np.dtype(described["typestr"])
    ptr, is_read_only = described["data"]
    if described.get("mask") is not None:
        raise BackendError("the device array has a mask; fill the masked elements first")
    _check_contiguous(shape, described.get("strides"), dtype.itemsize)
    stream = described.get("stream")
    if stream == 0:
        raise BackendError("__cuda_array_interface__ names stream 0, which is ambiguous; 1 is the default stream")
    return Foreign(int(ptr), shape, dtype, None if stream is None else int(stream), bool(is_read_only), array)


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("type_code", c_uint8),
        ("type_bits", c_uint8),
        ("type_lanes", c_uint16),
        ("shape", ctypes.POINTER(c_int64)),
        ("strides", ctypes.POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


def _from_dlpack(array: Any, stream: int) -> Foreign:
    kind = int(array.__dlpack_device__()[0])
    if kind not in _CUDA_DEVICES:
        raise BackendError(f"{type(array).__name__} lies in host memory (DLPack device {kind}); pass it to copy_from")
    capsule = array.__dlpack__(stream=stream)
    # The capsule is not taken over but kept: its own destructor gives the memory back to the exporter.
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = c_void_p, [ctypes.py_object, ctypes.c_char_p]
    try:
        tensor = _Tensor.from_address(get_pointer(capsule, b"dltensor"))
    except ValueError:
        raise BackendError(f"{type(array).__name__}.__dlpack__ gave no unused 'dltensor' capsule") from None
    if tensor.type_code not in _KINDS or tensor.type_lanes != 1 or tensor.type_bits % 8:
        raise BackendError(
            f"DLPack type {tensor.type_code} of {tensor.type_bits} bits x {tensor.type_lanes} has no NumPy type; "
            "convert it to float16 or float32"
        )
    dtype = np.dtype(f"{_KINDS[tensor.type_code]}{tensor.type_bits // 8}")
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tensor.strides[: tensor.ndim] if tensor.strides else None
    _check_contiguous(shape, strides, 1)
    return Foreign((tensor.data or 0) + tensor.byte_offset, shape, dtype, stream, False, (array, capsule))


def _check_contiguous(shape: tuple[int, ...], strides: Sequence[int] | None, step: int) -> None:
    """Raise BackendError unless ``strides``, in multiples of one byte or element, are those of C order."""
    if strides is None or 0 in shape:
        return
    for size, stride in zip(reversed(shape), reversed(tuple(strides)), strict=True):
        if size != 1 and stride != step:
            raise BackendError(f"the device array of shape {shape} is not contiguous (strides {tuple(strides)})")
        step *= size
