"""C++ objects made of memory and callbacks, as the bindings of TensorRT expect them (Itanium C++ ABI, x86-64).

An object begins with the address of its table of virtual methods; before the table stand the offset to the object's
start and its type. TensorRT's public classes hold the address of a second object, which has the methods.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_bool, c_float, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from typing import Any

from tests.shim.signatures import Signature

SCALARS = {"i32": c_int32, "u32": c_uint32, "i64": c_int64, "u64": c_uint64, "f32": c_float, "bool": c_bool}
_WORD = ctypes.sizeof(c_void_p)
# A type that the bindings do not know, so that they take an object for what the method's signature says.
_TYPE_NAME = ctypes.create_string_buffer(b"N6edgesr4FakeE")
_TYPE = (c_void_p * 2)(None, ctypes.addressof(_TYPE_NAME))
_MOST_DIMS = 8


class Dims32(ctypes.Structure):
    _fields_ = (("count", c_int32), ("sizes", c_int32 * _MOST_DIMS))


class Dims64(ctypes.Structure):
    _fields_ = (("count", c_int32), ("sizes", c_int64 * _MOST_DIMS))


class Table:
    """A table of virtual methods; entries without a function call ``missing`` with their number."""

    def __init__(self, size: int, functions: dict[int, Any], missing: Callable[[int], int]) -> None:
        self._functions = [functions.get(slot) or _trap(slot, missing) for slot in range(size)]
        addresses = [ctypes.cast(function, c_void_p).value for function in self._functions]
        self._words = (c_void_p * (size + 2))(None, ctypes.addressof(_TYPE), *addresses)

    @property
    def address(self) -> int:
        return ctypes.addressof(self._words) + 2 * _WORD


class Conversions:
    """Turns C arguments into what the doubles take and their results into C; ``objects`` knows pointers."""

    def __init__(self, objects: Any, dims: type[Dims32] | type[Dims64], enums: dict[str, Any]) -> None:
        self._objects = objects
        self._dims = dims
        self._enums = enums

    def function(self, signature: Signature, answer: Callable[..., Any]) -> Any:
        """Make the C function for a method; ``answer`` gets the object's address and Python arguments."""
        types = [c for kind in signature.takes for c in self._types(kind)]
        is_wide = signature.returns == "dims"
        result = c_void_p if is_wide or signature.returns not in SCALARS else SCALARS[signature.returns]
        result = c_int32 if signature.returns.startswith("enum:") else result
        prototype = CFUNCTYPE(
            None if signature.returns == "void" else result, *([c_void_p] if is_wide else []), c_void_p, *types
        )

        def call(*raw: Any) -> Any:
            # What is too wide for registers goes where the hidden first argument points.
            room, (this, *rest) = (raw[0], raw[1:]) if is_wide else (None, raw)
            try:
                return self._returned(signature, answer(this, *self._taken(signature, rest)), this, room)
            except BaseException:
                # C++ cannot take it; the test that runs is failed by the list of problems.
                self._objects.problems.append(traceback.format_exc())
                return 0 if signature.returns != "void" else None

        return prototype(call)

    def dims(self, address: int) -> tuple[int, ...]:
        """Read a Dims."""
        found = self._dims.from_address(address)
        return tuple(found.sizes[: found.count])

    def written(self, sizes: Any) -> Any:
        """Make a Dims."""
        sizes = tuple(int(size) for size in sizes)
        made = self._dims()
        made.count, made.sizes[: len(sizes)] = len(sizes), sizes
        return made

    def _types(self, kind: str) -> list[Any]:
        if kind == "blob":
            return [c_void_p, c_uint64]
        if kind == "dims_value":
            return [self._dims]
        if kind.startswith("enum:"):
            return [c_int32]
        return [SCALARS.get(kind, c_void_p)]

    def _taken(self, signature: Signature, raw: list[Any]) -> list[Any]:
        values, rest = [], list(raw)
        for kind in signature.takes:
            value = rest.pop(0)
            if kind == "blob":
                size = rest.pop(0)
                value = ctypes.string_at(value, size) if size else b""
            elif kind == "str":
                value = None if value is None else ctypes.string_at(value).decode()
            elif kind == "ptr":
                value = value or 0
            elif kind == "object":
                value = self._objects.at(value)
            elif kind.startswith("object:"):
                value = self._objects.foreign(kind.partition(":")[2], value)
            elif kind.startswith("enum:"):
                value = self._enums[kind.partition(":")[2]](value)
            elif kind == "dims":
                value = self.dims(value)
            elif kind == "dims_value":
                value = tuple(value.sizes[: value.count])
            values.append(value)
        return values

    def _returned(self, signature: Signature, value: Any, this: int, room: int | None) -> Any:
        kind = signature.returns
        if kind == "void":
            return None
        if kind == "dims":
            dims = self.written(value)
            if value is None:
                dims.count = -1
            ctypes.memmove(room, ctypes.addressof(dims), ctypes.sizeof(dims))
            return room
        if kind == "object":
            return None if value is None else value.address
        if kind == "str":
            return self._objects.text(this, signature.attribute, value)
        if kind.startswith("enum:"):
            return int(value)
        return value


def method(address: int, slot: int, returns: Any, *types: Any) -> Any:
    """Return a virtual method of the C++ object at ``address``, to be called without the object."""
    table = POINTER(c_void_p).from_address(address)
    return lambda *args: CFUNCTYPE(returns, c_void_p, *types)(table[slot])(address, *args)


def _trap(slot: int, missing: Callable[[int], int]) -> Any:
    return CFUNCTYPE(c_void_p, c_void_p)(lambda this: missing(slot))
