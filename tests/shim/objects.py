"""Every C++ object of the shim by its address: those that the doubles implement, and those that Python implements."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_bool, c_char_p, c_int32, c_uint64, c_void_p
from typing import Any

from tests.shim.signatures import IMPLEMENTED, Signature, signatures
from tests.shim.vtables import Conversions, Dims32, Dims64, Table, method

_D1, _D0 = "D1", "D0"


class Native:
    """One object of the library: ``_double`` answers its methods. ``address`` is what the bindings hold."""

    def __init__(self, name: str, double: Any, tables: tuple[int, int | None]) -> None:
        self.name = name
        self._double = double
        public, implementation = tables
        # The public object and what it points to, which may stand right behind it.
        self._words = (c_void_p * 4)(public, None, implementation, None)
        self.address = ctypes.addressof(self._words)
        self.implementation = self.address + 2 * ctypes.sizeof(c_void_p) if implementation else self.address
        self._words[1] = self.implementation
        self.texts: dict[str, Any] = {}


class Objects:
    """Makes objects for the bindings of one version; ``slots`` is the order of the methods by class."""

    def __init__(self, slots: dict[str, str], enums: dict[str, Any], *, is_wide: bool) -> None:
        self._slots = {name: text.split() for name, text in slots.items()}
        self._live: dict[int, Native] = {}
        self._foreign: dict[tuple[str, int], Any] = {}
        self._convert = Conversions(self, Dims64 if is_wide else Dims32, enums)
        self._is_wide = is_wide
        self._tables: dict[str, Table] = {}
        self.problems: list[str] = []
        self.used: set[str] = set()

    def make(self, name: str, double: Any) -> Native:
        """Return the object of class ``name`` that ``double`` answers for, the same one as long as it lives."""
        native = vars(double).get("_native")
        if native is None or native.implementation not in self._live:
            interface = IMPLEMENTED[name]
            implementation = self._table(interface)
            tables = (implementation, None) if interface.startswith("I") else (self._public(), implementation)
            native = double._native = Native(name, double, tables)
            self._live[native.implementation] = self._live[native.address] = native
        return native

    def at(self, address: int | None) -> Any:
        """Return the object at an address; None for null."""
        return None if not address else self._live[address]

    def foreign(self, name: str, address: int | None) -> Any:
        """Return an object that Python implements, for the doubles to call; None for null."""
        if not address:
            return None
        if (name, address) not in self._foreign:
            self._foreign[name, address] = FOREIGN[name](self, name, address)
        return self._foreign[name, address]

    def method(self, name: str, address: int, method_name: str, returns: Any, *types: Any) -> Any:
        """Return a method of an object that Python implements; AttributeError where this version lacks it."""
        if method_name not in self._slots[name]:
            raise AttributeError(method_name)
        return method(address, self._slots[name].index(method_name), returns, *types)

    def dims(self, shape: Any) -> Any:
        """Return a C Dims for a call to such an object."""
        return self._convert.written(shape)

    def text(self, address: int, attribute: str, value: str | None) -> int | None:
        """Return the address of a text that lives as long as the object, or until the next of the same name."""
        if value is None:
            return None
        buffer = ctypes.create_string_buffer(value.encode())
        self._live[address].texts.setdefault(f"{attribute} {value}", buffer)
        return ctypes.addressof(self._live[address].texts[f"{attribute} {value}"])

    def _public(self) -> int:
        if "" not in self._tables:
            self._tables[""] = Table(2, {0: self._deleter(), 1: self._deleter()}, lambda slot: 0)
        return self._tables[""].address

    def _table(self, interface: str) -> int:
        if interface not in self._tables:
            names = self._slots[interface]
            functions = {}
            for name, signature in signatures(interface, before_10=not self._is_wide).items():
                if name in names:
                    answer = self._answer(f"{interface}.{name}", signature)
                    functions[names.index(name)] = self._convert.function(signature, answer)
            functions |= {names.index(name): self._deleter() for name in (_D1, _D0) if name in names}

            def missing(slot: int) -> int:
                self.problems.append(f"the shim has no {interface}.{names[slot] if slot < len(names) else slot}")
                return 0

            # Room for methods that later releases of the same major version added.
            self._tables[interface] = Table(len(names) + 32, functions, missing)
        return self._tables[interface].address

    def _answer(self, label: str, signature: Signature) -> Callable[..., Any]:
        def answer(this: int, *args: Any) -> Any:
            self.used.add(label)
            double = self._live[this]._double
            if signature.form == "set":
                setattr(double, signature.attribute, args[0])
                return True
            found = getattr(double, signature.attribute)
            return found(*args) if signature.form == "call" else found

        return answer

    def _deleter(self) -> Any:
        def delete(this: int) -> None:
            native = self._live.pop(this, None)
            if native is None:
                self.problems.append(f"an object at {this:#x} was deleted twice")
                return
            self._live.pop(native.implementation, None)
            released = getattr(native._double, "released", None)
            native._double._native = None
            if released is not None:
                released()

        return CFUNCTYPE(None, c_void_p)(delete)


class Foreign:
    """An object that Python implements, behind its C++ face."""

    def __init__(self, objects: Objects, name: str, address: int) -> None:
        self._objects, self._name, self._address = objects, name, address

    def _method(self, name: str, returns: Any, *types: Any) -> Any:
        return self._objects.method(self._name, self._address, name, returns, *types)


class ForeignLogger(Foreign):
    def log(self, severity: Any, text: str) -> None:
        self._method("log", None, c_int32, c_char_p)(int(severity), text.encode())


class ForeignAllocator(Foreign):
    def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
        call = self._method("reallocateOutput", c_void_p, c_char_p, c_void_p, c_uint64, c_uint64)
        return call(name.encode(), memory, size, alignment) or 0

    def reallocate_output_async(self, name: str, memory: int, size: int, alignment: int, stream: int) -> int:
        call = self._method("reallocateOutputAsync", c_void_p, c_char_p, c_void_p, c_uint64, c_uint64, c_void_p)
        return call(name.encode(), memory, size, alignment, stream) or 0

    def notify_shape(self, name: str, shape: Any) -> None:
        dims = self._objects.dims(shape)
        self._method("notifyShape", None, c_char_p, c_void_p)(name.encode(), ctypes.addressof(dims))


class ForeignMonitor(Foreign):
    def phase_start(self, name: str, parent: str | None, steps: int) -> None:
        call = self._method("phaseStart", None, c_char_p, c_char_p, c_int32)
        call(name.encode(), None if parent is None else parent.encode(), steps)

    def step_complete(self, name: str, step: int) -> bool:
        return bool(self._method("stepComplete", c_bool, c_char_p, c_int32)(name.encode(), step))

    def phase_finish(self, name: str) -> None:
        self._method("phaseFinish", None, c_char_p)(name.encode())


FOREIGN = {"ILogger": ForeignLogger, "IOutputAllocator": ForeignAllocator, "IProgressMonitor": ForeignMonitor}
