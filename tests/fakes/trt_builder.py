"""The builder half of the double: Builder, IBuilderConfig, IOptimizationProfile, ITimingCache."""

from __future__ import annotations

import json
import time
from typing import Any

import onnx

from tests.fakes.trt_network import Network
from tests.fakes.trt_plan import Plan

PRECISIONS = ("FP16", "BF16", "INT8", "FP8", "INT4")
_TIMING_TAG = b"double-timing-cache\n"


class Builder:
    def __init__(self, library: Any, logger: Any) -> None:
        library.take_logger(logger)
        self.library = library
        self.logger = logger
        self.max_threads = 1
        self.num_DLA_cores = 0
        self.max_DLA_batch_size = 4096
        self.platform_has_fast_fp16 = self.platform_has_fast_int8 = self.platform_has_tf32 = True

    def create_network(self, flags: int = 0) -> Any:
        known = self.library.bindings.enums["NetworkDefinitionCreationFlag"].__members__.values()
        if flags & ~sum(1 << int(flag) for flag in set(known)):
            self.library.say("ERROR", f"Error Code 3: API Usage Error (unknown network creation flags {flags})")
            return None
        return self.library.bindings.make("INetworkDefinition", Network(self.library, flags))

    def create_builder_config(self) -> Any:
        return self.library.bindings.make("IBuilderConfig", Config(self.library))

    def create_optimization_profile(self) -> Any:
        return self.library.bindings.make("IOptimizationProfile", Profile(self.library))

    def is_network_supported(self, network: Any, config: Any) -> bool:
        return self._refusal(network._double, config._double) is None

    def reset(self) -> None:
        pass

    def build_serialized_network(self, network: Any, config: Any, kernel_text: object = None) -> Any:
        plan = self._build(network._double, config._double)
        return None if plan is None else self.library.host_memory(plan.serialize())

    def _build(self, network: Network, config: Config) -> Plan | None:
        reason = self.library.faults.get("build") or self._refusal(network, config)
        if callable(reason):
            reason = reason()
        if reason:
            self.library.say("ERROR", f"IBuilder::buildSerializedNetwork: {reason}")
            return None
        nodes = network.proto.graph.node
        with config.phase("Building Engine", len(nodes)) as step:
            for index in range(len(nodes)):
                if not step(index):
                    self.library.say("ERROR", "IBuilder::buildSerializedNetwork: the build was cancelled")
                    return None
                time.sleep(self.library.faults.get("seconds_per_layer", 0))
        layers = [self.library.layer_facts(network, node, config.flag_names) for node in nodes]
        config.time(layers)
        return Plan(
            version=self.library.version,
            onnx=network.proto.SerializeToString(),
            gpu=self.library.machine.compute_capability,
            profiles=[profile.ranges for profile in config.profiles],
            flags=sorted(config.flag_names) + ([h] if (h := config.hardware) != "NONE" else []),
            verbosity=config.profiling_verbosity.name,
            layers=layers,
            device_memory=256 * (1 + len(nodes)),
            name=network.name,
        )

    def _refusal(self, network: Network, config: Config) -> str | None:
        if network.proto is None:
            return "Error Code 4: Internal Error (Network must have at least one output)"
        asked = [name for name in PRECISIONS if name in config.flag_names]
        if network.is_strongly_typed and asked:
            return (
                "Error Code 3: API Usage Error (Parameter check failed, condition: "
                f"!config.getFlag(BuilderFlag::k{asked[0]}). A strongly typed network takes no precision flags)"
            )
        has_qdq = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in network.proto.graph.node)
        if has_qdq and not network.is_strongly_typed and "INT8" not in config.flag_names:
            return (
                "Error Code 4: Internal Error (the network has Q/DQ layers but int8 is not configured in the builder)"
            )
        dynamic = [
            i for i in network.borders[0] if not all(d.HasField("dim_value") for d in i.type.tensor_type.shape.dim)
        ]
        if dynamic and not config.profiles:
            return (
                "Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no optimization profile has "
                "been defined.)"
            )
        for profile in config.profiles:
            for info in dynamic:
                if info.name not in profile.ranges:
                    return f"Error Code 4: API Usage Error ({info.name}: optimization profile is missing values)"
                dims = [d.dim_value if d.HasField("dim_value") else -1 for d in info.type.tensor_type.shape.dim]
                for shape in profile.ranges[info.name]:
                    if len(shape) != len(dims) or any(d not in (-1, n) for d, n in zip(dims, shape, strict=True)):
                        return f"Error Code 4: API Usage Error ({info.name}: the profile does not match shape {dims})"
        if config.limits.get("WORKSPACE", 1 << 40) < self.library.faults.get("least_workspace", 0):
            return "Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode[Conv_0]}.)"
        return None


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
        self.limits[pool.name] = pool_size

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

    def time(self, layers: list[dict[str, Any]]) -> None:
        """Count the layers that had to be timed, and remember them."""
        if self.cache is None or "DISABLE_TIMING_CACHE" in self.flag_names:
            self.cache = self.cache or TimingCache(self.library, self.library.made_for, {})
        keys = [f"{layer['Type']}:{layer['Precision']}:{layer['Name']}" for layer in layers]
        self.library.tactics_timed += len([key for key in keys if key not in self.cache.entries])
        self.cache.entries.update(dict.fromkeys(keys, 1.0))

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
        if not (len(least) == len(best) == len(most)) or not all(
            0 <= a <= b <= c for a, b, c in zip(least, best, most, strict=True)
        ):
            raise ValueError("Shape provided for min is inconsistent with other shapes.")
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
            self.entries.update(other.entries)
        return True

    def reset(self) -> bool:
        self.entries.clear()
        return True


def is_float16(kind: int) -> bool:
    return kind == onnx.TensorProto.FLOAT16
