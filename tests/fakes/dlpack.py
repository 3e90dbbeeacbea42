"""A device array that exports itself through DLPack, as PyTorch tensors do; structures from dlpack.h."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}


class _ManagedTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", _DELETER),
    )


class DlpackArray:
    """Shows ``buffer`` through DLPack only; the keywords change what it says of itself.

    ``asked`` are the streams it was exported on, ``deleted`` how often the memory was given back.
    """

    def __init__(
        self,
        buffer: Any,
        *,
        device: int = 2,
        code: int | None = None,
        bits: int | None = None,
        lanes: int = 1,
        shape: tuple[int, ...] | None = None,
        strides: tuple[int, ...] | None = None,
        offset: int = 0,
        name: bytes = b"dltensor",
    ) -> None:
        self.asked: list[int] = []
        self.deleted = 0
        self.on_export: Callable[[int], None] = lambda stream: None
        self._buffer = buffer
        self._device = device
        self._name = name
        shape = buffer.shape if shape is None else shape
        self._sizes = (ctypes.c_int64 * len(shape))(*shape)
        self._strides = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
        self._deleter = _DELETER(self._delete)
        self._tensor = _ManagedTensor(
            data=buffer.ptr,
            device_type=device,
            ndim=len(shape),
            code=_CODES[buffer.dtype.kind] if code is None else code,
            bits=buffer.dtype.itemsize * 8 if bits is None else bits,
            lanes=lanes,
            shape=ctypes.addressof(self._sizes),
            strides=None if self._strides is None else ctypes.addressof(self._strides),
            byte_offset=offset,
            deleter=self._deleter,
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        assert stream not in (0, None), "DLPack: 0 is ambiguous, None means the default stream"
        self.asked.append(stream)
        self.on_export(stream)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self._tensor), self._name, ctypes.cast(_destroy, ctypes.c_void_p))

    def _delete(self, _: int) -> None:
        self.deleted += 1


def _destroy_capsule(capsule: int) -> None:
    """Call the deleter of a capsule that nobody took over, as every exporter does."""
    is_valid = ctypes.pythonapi.PyCapsule_IsValid
    is_valid.restype, is_valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
    if is_valid(capsule, b"dltensor"):
        pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
            ("PyCapsule_GetPointer", ctypes.pythonapi)
        )
        address = pointer(capsule, b"dltensor")
        _ManagedTensor.from_address(address).deleter(address)


_destroy = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_destroy_capsule)
