"""The double of TensorRT with NVIDIA's own bindings in place of the double's.

    shim = Shim(folder_of_the_unpacked_wheel, scratch_folder)
    double = shim.tensorrt(FakeCudart())
    double.module         # NVIDIA's module, its library answered by the same objects as the pure double's

What is proven: that calls go through the real argument checks, conversions, ownership and callbacks. What the library
does is still the double's idea of it. One version per process.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import Machine, Tensorrt
from tests.fakes.trt_builder import Builder
from tests.fakes.trt_config import Profile
from tests.fakes.trt_network import UNSUPPORTED, Parser
from tests.fakes.trt_plan import library_version
from tests.fakes.trt_runtime import Context, Engine, Runtime
from tests.shim.library import load
from tests.shim.objects import Native, Objects

SLOTS = Path(__file__).parents[1] / "data" / "tensorrt_slots.json"
_SELECTED = 3


class Shim:
    """NVIDIA's bindings of one version, loaded into this process."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.module, self._answer = load(folder, target)
        answer = self._answer
        self.version: str = self.module.__version__
        major = self.version.partition(".")[0]
        enums = {name: thing for name, thing in vars(self.module).items() if hasattr(thing, "__members__")}
        enums["Severity"] = self.module.ILogger.Severity
        self.enums = enums
        self.objects = Objects(json.loads(SLOTS.read_text())[major], enums, is_wide=int(major) >= 10)
        self._calling = threading.local()
        answer("createInferBuilder_INTERNAL", lambda logger, *_: self._create("Builder", logger))
        answer("createInferRuntime_INTERNAL", lambda logger, *_: self._create("Runtime", logger))
        answer("createNvOnnxParser_INTERNAL", self._create_parser)
        answer("getNvOnnxParserVersion", lambda *_: library_version(self.version)[0] * 10000)
        answer("initLibNvInferPlugins", lambda *_: 1)

    def tensorrt(self, fake: FakeCudart | None = None) -> BoundTensorrt:
        """Make a library with its own fake GPU, faults and logger."""
        return BoundTensorrt(self, fake or FakeCudart())

    @contextmanager
    def calling(self, library: BoundTensorrt) -> Iterator[None]:
        """Let what this thread creates belong to ``library``."""
        self._calling.library = library
        try:
            yield
        finally:
            self._calling.library = None

    def _create(self, name: str, logger: int) -> int:
        library = getattr(self._calling, "library", None)
        if library is None or library.faults.get(name.lower()):
            return 0
        kind = {"Builder": Builder, "Runtime": Runtime}[name]
        return self.objects.make(name, kind(library, self.objects.foreign("ILogger", logger))).address

    def _create_parser(self, network: int, logger: int, version: int) -> int:
        return self.objects.make(
            "OnnxParser", Parser(self.objects.at(network), self.objects.foreign("ILogger", logger))
        ).address


class BoundTensorrt(Tensorrt):
    """The double behind NVIDIA's bindings; takes the place of ``Tensorrt`` in the tests."""

    def __init__(self, shim: Shim, fake: FakeCudart) -> None:
        self.machine = Machine(fake)
        self.version = library_version(shim.version)
        self.faults: dict[str, Any] = {}
        self.tactics_timed = 0
        self.loaded_on: list[int] = []
        self.unsupported = UNSUPPORTED[self.version[0]]
        self.logger: Any = None
        self.made_for = [shim.version, self.machine.compute_capability]
        self.bindings = _Bindings(shim)  # type: ignore[assignment]
        self.module = ModuleType("tensorrt")
        vars(self.module).update(vars(shim.module))
        for name in ("Builder", "Runtime"):
            setattr(self.module, name, self._owned(shim, getattr(shim.module, name)))

    def dims(self, shape: Any) -> Any:
        return tuple(int(size) for size in shape)

    def host_memory(self, content: bytes) -> Any:
        return self.bindings.make("IHostMemory", _HostMemory(content, self.data_type(np.dtype(np.int8))))

    def _owned(self, shim: Shim, bound: Any) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> Any:
            with shim.calling(self):
                return bound(*args, **kwargs)

        return make


class _Bindings:
    """What the doubles ask of the bindings: enums, classes, and objects of them."""

    def __init__(self, shim: Shim) -> None:
        self._objects = shim.objects
        self.enums = shim.enums
        self.classes = {name: thing for name, thing in vars(shim.module).items() if isinstance(thing, type)}

    def make(self, name: str, double: Any) -> Native:
        adapters: dict[str, Callable[[Any], Any]] = {
            "IOptimizationProfile": _Profile,
            "ICudaEngine": _Engine,
            "IExecutionContext": _Context,
        }
        return self._objects.make(name, adapters.get(name, lambda same: same)(double))


class _HostMemory:
    def __init__(self, content: bytes, dtype: Any) -> None:
        self._content = ctypes.create_string_buffer(content, max(len(content), 1))
        self.address = ctypes.addressof(self._content)
        self.nbytes = len(content)
        self.dtype = dtype


class _Profile:
    """The library gets a profile's shapes one by one."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._given: dict[str, dict[int, tuple[int, ...]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._profile, name)

    def set_dimensions(self, name: str, select: int, dims: tuple[int, ...]) -> bool:
        given = {**self._given.get(name, {}), select: dims}
        ordered = [given[key] for key in sorted(given)]
        for less, more in pairwise(ordered):
            if len(less) != len(more) or any(a > b for a, b in zip(less, more, strict=True)):
                return False
        self._given[name] = given
        if len(given) == _SELECTED:
            self._profile.set_shape(name, *ordered)
        return True

    def get_dimensions(self, name: str, select: int) -> tuple[int, ...] | None:
        return self._given.get(name, {}).get(select)

    def get_nb_shape_values(self, name: str) -> int:
        return -1

    def is_valid(self) -> bool:
        return bool(self._profile)


class _Engine:
    """The library is asked for each shape of a profile by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        engine.bound = self  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def get_profile_shape(self, name: str, profile: int, select: int) -> Any:
        return self._engine.get_tensor_profile_shape(name, profile)[select]


class _Context:
    """The library is asked for the engine of a context."""

    def __init__(self, context: Context) -> None:
        vars(self)["_context"] = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_native":
            vars(self)[name] = value
        else:
            setattr(self._context, name, value)

    @property
    def bound_engine(self) -> Native:
        return self._context.engine.bound._native
