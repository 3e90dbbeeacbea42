"""Settings of TensorRT's builder for one build, whatever its version."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgesr.compile.recipe import BuildOptions, Limits, Survey
from edgesr.engines.trt_api import TensorRt, require_core
from edgesr.errors import BackendError, BuildError

_ALWAYS_TYPED_FROM = (11,)
LOCKABLE_FROM = "10.13"
"""The first TensorRT that can be held to recorded timings."""


def is_strongly_typed(api: TensorRt, kinds: frozenset[str], options: BuildOptions) -> bool:
    """Tell whether TensorRT follows the types of the ONNX file; before 11 the accelerator is built with flags."""
    if api.flag("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") is None:
        return False
    return api.version >= _ALWAYS_TYPED_FROM or (bool(kinds) and options.dla_core is None)


def configure(api: TensorRt, builder: Any, config: Any, options: BuildOptions, limits: Limits) -> None:
    """Set all but the precision."""
    if limits.workspace is not None:
        config.set_memory_pool_limit(api.trt.MemoryPoolType.WORKSPACE, limits.workspace)
    if limits.tactic_dram is not None:
        config.set_memory_pool_limit(api.trt.MemoryPoolType.TACTIC_DRAM, limits.tactic_dram)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.max_aux_streams is not None:
        config.max_aux_streams = options.max_aux_streams
    if not options.tf32:
        config.clear_flag(api.trt.BuilderFlag.TF32)
    verbosity = api.trt.ProfilingVerbosity
    config.profiling_verbosity = verbosity.DETAILED if options.detailed else verbosity.LAYER_NAMES_ONLY
    if options.version_compatible:
        config.set_flag(api.trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = api.trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.locked is not None:
        require_lockable(api)
        config.set_flag(api.require("BuilderFlag", "EDITABLE_TIMING_CACHE", "--locked"))
        if options.locked:
            config.set_flag(api.require("BuilderFlag", "ERROR_ON_TIMING_CACHE_MISS", "--locked"))
    if options.dla_core is not None:
        _choose_accelerator(api, builder, config, options.dla_core)


def require_lockable(api: TensorRt) -> None:
    """Raise BackendError where this TensorRT cannot be held to recorded timings."""
    if api.flag("BuilderFlag", "EDITABLE_TIMING_CACHE") is None:
        raise BackendError(
            f"TensorRT {api.version_text} cannot rebuild from recorded timings, which --locked needs; use "
            f"{LOCKABLE_FROM} or newer, or leave out --locked"
        )


def choose_precision(api: TensorRt, network: Any, config: Any, kinds: frozenset[str], options: BuildOptions) -> None:
    """Set the flags of the precision where the version has them; elsewhere the file's own types decide."""
    if is_strongly_typed(api, kinds, options):
        if options.fp16 and not kinds:
            raise BuildError(
                f"TensorRT {api.version_text} takes the precision from the ONNX file, which is FP32; convert it with "
                "`edgesr build --fp16` first"
            )
        return
    wanted = kinds | ({"fp16"} if options.fp16 else frozenset())
    for kind in sorted(wanted):
        config.set_flag(api.require("BuilderFlag", kind.upper(), f"a network in {kind.upper()}"))
    if "fp16" in kinds:
        _pin_fp32(api, network, config)


def survey(network: Any, config: Any, options: BuildOptions) -> Survey:
    """Count the layers, and those that the accelerator takes where it was asked for."""
    count = int(network.num_layers)
    if options.dla_core is None:
        return Survey(count)
    others: Counter[str] = Counter()
    for index in range(count):
        layer = network.get_layer(index)
        if not config.can_run_on_DLA(layer):
            others[str(layer.type.name).lower().replace("_", " ")] += 1
    return Survey(count, count - others.total(), dict(others.most_common()))


def _choose_accelerator(api: TensorRt, builder: Any, config: Any, core: int) -> None:
    require_core(core, int(builder.num_DLA_cores))
    config.default_device_type = api.trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(api.trt.BuilderFlag.GPU_FALLBACK)


def _pin_fp32(api: TensorRt, network: Any, config: Any) -> None:
    """Keep in FP32 what the file has in FP32, where the flag FP16 would let TensorRT choose."""
    obey = api.flag("BuilderFlag", "OBEY_PRECISION_CONSTRAINTS")
    if obey is None:
        return
    config.set_flag(obey)
    single = api.trt.DataType.FLOAT
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.num_outputs and layer.get_output_type(0) == single and hasattr(layer, "precision"):
            layer.precision = single
