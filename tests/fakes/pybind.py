"""Classes and enums that check their arguments as pybind11 does, made from the interface data of one TensorRT version.

A member that the version lacks does not exist; a wrong argument name, count or type raises TypeError; an attribute that
is not a property cannot be set. What a method does comes from an implementation object with methods of the same names.
"""

from __future__ import annotations

import functools
import inspect
import json
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "tensorrt_api"
WRITABLE = DATA.with_name("tensorrt_writable.json")
# What an int may be, by the name of the argument or property; 32 bits with a sign for all others.
RANGES = {
    **dict.fromkeys(("flags", "tactic_sources", "allowed_formats", "quantization_flags"), range(1 << 32)),
    **dict.fromkeys(("stream_handle", "memory", "pool_size", "device_memory", "profile_stream"), range(1 << 64)),
    **dict.fromkeys(("persistent_cache_limit", "max_workspace_size", "data"), range(1 << 64)),
    **dict.fromkeys(("size", "l2_limit_for_tiling", "weight_streaming_budget_v2"), range(-(1 << 63), 1 << 63)),
    # The bindings pass a negative one on, and the library refuses it.
    **dict.fromkeys(("index", "profile_index", "layer_index"), range(1 << 31)),
}
_INT = range(-(1 << 31), 1 << 31)
_SIZE = range(-(1 << 63), 1 << 63)
MOST_DIMS = 8
NULLABLE = {"IOutputAllocator", "IProgressMonitor", "IErrorRecorder", "IProfiler", "IGpuAllocator"}
SUBCLASSED = {"ILogger", "IOutputAllocator", "IProgressMonitor", "IProfiler", "IGpuAllocator", "IErrorRecorder"}


class Enumeration:
    """One member of a pybind11 enum: equal to members of its own enum alone, an int only when asked."""

    def __init__(self, value: int) -> None:
        if value not in self.__members__.values() and not hasattr(self, "_value"):
            self._value = int(value)

    name = property(lambda self: next(n for n, m in self.__members__.items() if m._value == self._value))
    value = property(lambda self: self._value)

    def __int__(self) -> int:
        return self._value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self._value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


def enumeration(name: str, numbers: dict[str, int]) -> type:
    """Make a pybind11-like enum class."""
    made = type(name, (Enumeration,), {"__members__": {}})
    for member, number in sorted(numbers.items(), key=lambda item: item[1]):
        instance = object.__new__(made)
        instance._value = number
        made.__members__[member] = instance
        setattr(made, member, instance)
    return made


class PybindMeta(type):
    """Refuses, as pybind11 does, an object whose subclass forgot the base class's ``__init__``."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if "_double" not in made.__dict__:
            raise TypeError(f"tensorrt.{cls.bound_name}.__init__() must be called when overriding __init__")
        return made


class Pybind(metaclass=PybindMeta):
    """Base of all bound classes."""

    bound_name = ""
    bound_properties: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.bound_properties and type(self).__name__ == self.bound_name:
            raise AttributeError(f"'tensorrt.{self.bound_name}' object has no attribute {name!r}")
        object.__setattr__(self, name, value)

    def __del__(self) -> None:
        released = getattr(self.__dict__.get("_double"), "released", None)
        if released is not None:
            released()


class Bindings:
    """The bound classes and enums of one version."""

    def __init__(self, version: str, constructors: dict[str, Callable[..., Any]]) -> None:
        self.api = json.loads((DATA / f"{version}.json").read_text())
        self.enums = {name: enumeration(name.split(".")[-1], numbers) for name, numbers in self.api["enums"].items()}
        self.enums["Severity"] = self.enums["ILogger.Severity"]
        self.constructors = constructors
        self.writable = json.loads(WRITABLE.read_text())[version]
        self.classes: dict[str, type] = {}
        for name in sorted(self.api["classes"], key=lambda n: len(self.api["classes"][n]["bases"])):
            self.classes[name] = self._bound(name, self.api["classes"][name])

    def make(self, name: str, implementation: object) -> Any:
        """Wrap ``implementation`` as an object of class ``name``, as a factory function of the library would."""
        made = self.classes[name].__new__(self.classes[name])
        made.__dict__["_double"] = implementation
        return made

    def _bound(self, name: str, found: dict[str, Any]) -> type:
        space: dict[str, Any] = {"bound_name": name, "__module__": "tensorrt"}
        for method, signatures in found["methods"].items():
            # Read when first called: there are hundreds.
            overloads = functools.cache(functools.partial(self._overloads, tuple(signatures)))
            space[method] = self._init(name, overloads) if method == "__init__" else self._method(method, overloads)
        for member, kind in found["properties"].items():
            space[member] = self._property(member, kind, member in self.writable.get(name, ()))
        if name == "ILogger":
            severity = self.enums["Severity"]
            space |= {"Severity": severity, **severity.__members__}
        bases = tuple(self.classes[base] for base in found["bases"] if base in self.classes) or (Pybind,)
        inherited = frozenset().union(*(base.bound_properties for base in bases))
        space["bound_properties"] = inherited | set(found["properties"])
        return PybindMeta(name, bases, space)

    def _overloads(self, signatures: tuple[str, ...]) -> list[inspect.Signature]:
        return [self._overload(line) for line in signatures]

    def _init(self, name: str, overloads: Callable[[], list[inspect.Signature]]) -> Callable[..., None]:
        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if not overloads():
                raise TypeError(f"tensorrt.{name}: No constructor defined!")
            bound = self._match(f"tensorrt.{name}.__init__", overloads(), args, kwargs)
            made = self.constructors[name](*bound.values())
            if made is None:
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self_.__dict__["_double"] = made

        return __init__

    def _method(self, name: str, overloads: Callable[[], list[inspect.Signature]]) -> Callable[..., Any]:
        def method(self_: Any, *args: Any, **kwargs: Any) -> Any:
            bound = self._match(name, overloads(), args, kwargs) if overloads() else {}
            implementation = getattr(self_._double, name, None)
            assert implementation is not None, f"the double of tensorrt has no {self_.bound_name}.{name} yet"
            return implementation(*bound.values())

        return functools.update_wrapper(method, _named(name))

    def _property(self, name: str, kind: str, writable: bool) -> property:
        def read(self_: Any) -> Any:
            if not kind:
                raise AttributeError(f"unreadable attribute {name!r}")
            assert hasattr(self_._double, name), f"the double of tensorrt has no {self_.bound_name}.{name} yet"
            return getattr(self_._double, name)

        def write(self_: Any, value: Any) -> None:
            if not self._accepts(kind or "int", value, name):
                raise TypeError(f"{name}(): incompatible function arguments: {kind} expected, got {value!r}")
            setattr(self_._double, name, value)

        return property(read, write if writable else None)

    def _overload(self, line: str) -> inspect.Signature:
        inside = re.fullmatch(r"\((.*)\)( -> .*)?", line)
        assert inside, line
        parameters = []
        for part in re.findall(r"[^,\[\]]+(?:\[[^\]]*\])?[^,]*", inside[1]):
            declared, _, default = part.strip().partition(" = ")
            label, _, kind = declared.partition(": ")
            value = inspect.Parameter.empty if not default else self._default(kind, default)
            parameters.append(
                inspect.Parameter(label, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=kind)
            )
        defaults = [p.default is not inspect.Parameter.empty for p in parameters]
        if defaults != sorted(defaults):
            parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        return inspect.Signature(parameters)

    def _default(self, kind: str, text: str) -> Any:
        if kind in self.enums:
            return self.enums[kind].__members__[text]
        try:
            return {"None": None, "True": True, "False": False}.get(text) if not text[-1].isdigit() else int(text)
        except ValueError:
            return float(text)

    def _match(
        self, name: str, overloads: list[inspect.Signature], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        for signature in overloads:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                continue
            given = bound.arguments
            if all(self._accepts(signature.parameters[k].annotation, v, k) for k, v in given.items()):
                bound.apply_defaults()
                return dict(bound.arguments)
            nullable = {k for k, v in given.items() if v is None and signature.parameters[k].default is None}
            rest = {k: v for k, v in given.items() if k not in nullable}
            if nullable and all(self._accepts(signature.parameters[k].annotation, v, k) for k, v in rest.items()):
                bound.apply_defaults()
                return dict(bound.arguments)
        supported = "\n".join(f"    {i + 1}. {name}{signature}" for i, signature in enumerate(overloads))
        raise TypeError(
            f"{name}(): incompatible function arguments. The following argument types are supported:\n{supported}\n\n"
            f"Invoked with: {', '.join(map(repr, args))}{'; kwargs: ' if kwargs else ''}{kwargs or ''}"
        )

    def _accepts(self, kind: str, value: Any, label: str) -> bool:
        if kind in self.enums:
            return isinstance(value, self.enums[kind])
        if kind == "Dims":
            return isinstance(value, self.classes["Dims"]) or _is_shape(value)
        if kind in self.classes:
            return isinstance(value, self.classes[kind]) or (value is None and kind in NULLABLE)
        if kind == "int":
            return _is_integer(value, RANGES.get(label, _INT))
        if kind == "buffer":
            return _is_buffer(value)
        if kind.startswith("list["):
            inner = kind[5:-1]
            return isinstance(value, list | tuple) and all(self._accepts(inner, v, label) for v in value)
        checks: dict[str, type | tuple[type, ...]] = {
            "str": str,
            "bool": bool,
            "float": (int, float),
            "tuple": tuple,
            "list": list,
            "slice": slice,
            "object": object,
        }
        return isinstance(value, checks.get(kind, ()))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= MOST_DIMS and all(_is_integer(v, _SIZE) for v in value)


def _is_integer(value: Any, allowed: range) -> bool:
    try:
        return operator.index(value) in allowed
    except TypeError:
        return False


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def _named(name: str) -> Callable[..., Any]:
    def stub() -> None: ...

    stub.__name__ = stub.__qualname__ = name
    return stub
