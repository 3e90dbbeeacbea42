"""What a build is told, in the double: IBuilderConfig, IOptimizationProfile, ITimingCache."""

from __future__ import annotations

import json
from typing import Any

_TIMING_TAG = b"double-timing-cache\n"


class Config:
    """Settings of one build; properties hold the defaults of TensorRT."""

    def __init__(self, library: Any) -> None:
        enums = library.bindings.enums
        self.library = library
        self.profiles: list[Profile] = []
        self.limits: dict[str, int] = {}
        self.flag_names: set[str] = {"TF32"}
        self.cache: TimingCache | None = None
        self.progress_monitor: Any = None
        self.builder_optimization_level = 3
        self.avg_timing_iterations = 1
        self.max_aux_streams = -1
        self.max_num_tactics = -1
        self.DLA_core = -1
        self.profile_stream = 0
        self.default_device_type = enums["DeviceType"].__members__["GPU"]
        self.engine_capability = enums["EngineCapability"].__members__["STANDARD"]
        self.profiling_verbosity = enums["ProfilingVerbosity"].__members__["LAYER_NAMES_ONLY"]
        self.hardware_compatibility_level = enums["HardwareCompatibilityLevel"].__members__["NONE"]
        self.tactics = sum(1 << int(member) for member in enums["TacticSource"].__members__.values())
        self.preview: dict[str, bool] = {}

    @property
    def hardware(self) -> str:
        return self.hardware_compatibility_level.name

    @property
    def flags(self) -> int:
        members = self.library.bindings.enums["BuilderFlag"].__members__
        return sum(1 << int(members[name]) for name in self.flag_names)

    @flags.setter
    def flags(self, value: int) -> None:
        members = self.library.bindings.enums["BuilderFlag"].__members__
        self.flag_names = {name for name, member in members.items() if value >> int(member) & 1}

    num_optimization_profiles = property(lambda self: len(self.profiles))

    def set_flag(self, flag: Any) -> None:
        self.flag_names.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flag_names.discard(flag.name)

    def get_flag(self, flag: Any) -> bool:
        return flag.name in self.flag_names

    def add_optimization_profile(self, profile: Any) -> int:
        if not profile._double.ranges:
            self.library.say("ERROR", "IBuilderConfig::addOptimizationProfile: the profile is not valid")
            return -1
        self.profiles.append(profile._double)
        return len(self.profiles) - 1

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self.limits[pool.name] = int(pool_size)

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self.limits.get(pool.name, self.library.machine.total_memory)

    def set_tactic_sources(self, tactic_sources: int) -> bool:
        self.tactics = tactic_sources
        return True

    def get_tactic_sources(self) -> int:
        return self.tactics

    def set_preview_feature(self, feature: Any, enable: bool) -> None:
        self.preview[feature.name] = enable

    def get_preview_feature(self, feature: Any) -> bool:
        return self.preview.get(feature.name, False)

    def can_run_on_DLA(self, layer: Any) -> bool:  # noqa: N802
        return layer._double.node.op_type in ("Conv", "ConvTranspose", "Relu", "Sigmoid", "Tanh", "Concat", "MaxPool")

    def set_device_type(self, layer: Any, device_type: Any) -> None:
        layer._double.device_type = device_type

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        content = bytes(memoryview(serialized_timing_cache))
        if content and not content.startswith(_TIMING_TAG):
            self.library.say("ERROR", "ITimingCache: the serialized timing cache is not valid")
            return None
        facts = json.loads(content[len(_TIMING_TAG) :]) if content else {}
        cache = TimingCache(self.library, facts.get("made_for") or self.library.made_for, facts.get("entries", {}))
        return self.library.bindings.make("ITimingCache", cache)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if cache is not None and cache._double.made_for != self.library.made_for and not ignore_mismatch:
            self.library.say("WARNING", "The timing cache is of another device or version and will not be used")
            return False
        self.cache = None if cache is None else cache._double
        return True

    def get_timing_cache(self) -> Any:
        return None if self.cache is None else self.library.bindings.make("ITimingCache", self.cache)

    def reset(self) -> None:
        self.__init__(self.library)  # type: ignore[misc]

    def untimed(self, layers: list[dict[str, Any]]) -> list[str]:
        """Name the layers that nobody has timed yet."""
        known = {} if self.cache is None or "DISABLE_TIMING_CACHE" in self.flag_names else self.cache.entries
        return [key for layer in layers if (key := _timing_key(layer)) not in known]

    def time(self, layers: list[dict[str, Any]]) -> None:
        """Count the layers that had to be timed, and remember them."""
        missing = self.untimed(layers)
        self.cache = self.cache or TimingCache(self.library, self.library.made_for, {})
        self.library.tactics_timed += len(missing)
        self.cache.entries.update(dict.fromkeys(missing, 1.0))

    def phase(self, name: str, steps: int) -> _Phase:
        return _Phase(self.progress_monitor, name, steps)


class _Phase:
    def __init__(self, monitor: Any, name: str, steps: int) -> None:
        self.monitor, self.name, self.steps = monitor, name, steps

    def __enter__(self) -> Any:
        if self.monitor is not None:
            self.monitor.phase_start(self.name, None, self.steps)
        return self._step

    def _step(self, index: int) -> bool:
        if self.monitor is None:
            return True
        answer = self.monitor.step_complete(self.name, index)
        assert isinstance(answer, bool), "step_complete must return whether the build goes on"
        return answer

    def __exit__(self, *exc: object) -> None:
        if self.monitor is not None:
            self.monitor.phase_finish(self.name)


class Profile:
    def __init__(self, library: Any) -> None:
        self.library = library
        self.ranges: dict[str, list[list[int]]] = {}
        self.extra_memory_target = 1.0
        self.profile_stream = 0

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        least, best, most = (list(shape) for shape in (min, opt, max))
        # The library takes the three one by one and compares each with those before it.
        for name, less, more in (("opt", least, best), ("max", best, most)):
            if len(less) != len(more) or any(a > b for a, b in zip(less, more, strict=True)):
                raise RuntimeError(f"Shape provided for {name} is inconsistent with other shapes.")
        self.ranges[input] = [least, best, most]

    def get_shape(self, input: str) -> list[Any]:
        if input not in self.ranges:
            raise RuntimeError("Shape has not been set for this profile.")
        return [self.library.dims(shape) for shape in self.ranges[input]]

    def __bool__(self) -> bool:
        return bool(self.ranges)


class TimingCache:
    def __init__(self, library: Any, made_for: list[str], entries: dict[str, float]) -> None:
        self.library, self.made_for, self.entries = library, made_for, entries

    def serialize(self) -> Any:
        facts = {"made_for": self.made_for, "entries": self.entries}
        return self.library.host_memory(_TIMING_TAG + json.dumps(facts, sort_keys=True).encode())

    def combine(self, input_cache: Any, ignore_mismatch: bool) -> bool:
        other = input_cache._double
        if other.made_for != self.made_for and not ignore_mismatch:
            return False
        if other.made_for == self.made_for:
            # "Conflicting entries will be skipped" (ITimingCache.combine).
            self.entries = {**other.entries, **self.entries}
        return True

    def reset(self) -> bool:
        self.entries.clear()
        return True


def _timing_key(layer: dict[str, Any]) -> str:
    return f"{layer['Type']}:{layer['Precision']}:{layer['Name']}"
