"""The builder of the double."""

from __future__ import annotations

import time
from typing import Any

from tests.fakes.trt_config import Config, Profile
from tests.fakes.trt_network import Network
from tests.fakes.trt_plan import Plan

PRECISIONS = ("FP16", "BF16", "INT8", "FP8", "INT4")


class Builder:
    def __init__(self, library: Any, logger: Any) -> None:
        library.take_logger(logger)
        self.library = library
        self.logger = logger
        self.max_threads = 1
        self.num_DLA_cores = library.faults.get("dla_cores", 0)
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
        missing = config.untimed(layers)
        if missing and "ERROR_ON_TIMING_CACHE_MISS" in config.flag_names:
            self.library.say("ERROR", f"IBuilder::buildSerializedNetwork: timing cache miss for {missing[0]}")
            return None
        config.time(layers)
        return Plan(
            version=self.library.version,
            onnx=network.proto.SerializeToString(),
            gpu=self.library.machine.compute_capability,
            profiles=[profile.ranges for profile in config.profiles],
            flags=sorted({*config.flag_names, *(["DLA"] if config.DLA_core >= 0 else [])})
            + ([h] if (h := config.hardware) != "NONE" else []),
            verbosity=config.profiling_verbosity.name,
            layers=layers,
            device_memory=self.library.faults.get("device_memory", 256 * (1 + len(nodes))),
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
