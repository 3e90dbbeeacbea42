"""Build an engine from an ONNX file: one path from TensorRT 8.6 to 11.

The precision is that of the ONNX file. TensorRT 10 and newer follow its types exactly (STRONGLY_TYPED); 8.6 is given
the flags FP16 and INT8 where the file holds such tensors, and layers that the file keeps in FP32 are pinned to it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgesr.compile.graph import HALF, Graph
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.engines.messages import explain
from edgesr.engines.trt_api import Lines, TensorRt
from edgesr.errors import BackendError, BuildError

_EXPLICIT_BATCH_UNTIL = (10,)
_ALWAYS_TYPED_FROM = (11,)
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
_PLACE = re.compile(r"node number (\d+) \[(\w+)(?: -> [\"']?([^\"'\]]*))?")


def build_plan(api: TensorRt, onnx_path: Path, options: BuildOptions, *, timing_cache: bytes = b"") -> BuiltPlan:
    """Build an engine on the calling thread's current GPU; raise BuildError with TensorRT's reason.

    ``timing_cache`` is that of an earlier build on the same kind of GPU with the same TensorRT; another is left out.
    """
    kinds = reduced_types(Graph.read(onnx_path))
    notes: list[str] = []
    with api.log.collect() as lines:
        build = _Build(api, onnx_path.name, lines)
        network, config = build.begin(typed=bool(kinds))
        build.parse(network, onnx_path)
        _configure(api, config, options)
        _choose_precision(api, network, config, kinds, options)
        build.add_profile(network, config, options)
        build.take_timings(config, timing_cache, notes)
        serialized = build.builder.build_serialized_network(network, config)
        if serialized is None:
            raise BuildError(f"{onnx_path.name}: {build.said('no engine was built')}")
        timing = config.get_timing_cache()
        timings = b"" if timing is None else bytes(memoryview(timing.serialize()))
        warnings = tuple(dict.fromkeys(" ".join(line.text.split()) for line in lines))
    return BuiltPlan(bytes(memoryview(serialized)), timings, warnings, tuple(notes))


def reduced_types(graph: Graph) -> frozenset[str]:
    """Return which of ``fp16`` and ``int8`` a network holds; such a network says itself what runs in which."""
    kinds = set()
    if HALF in graph.types.values() or any(tensor.data_type == HALF for tensor in graph.weights.values()):
        kinds.add("fp16")
    if any(node.op_type in _QUANTIZERS for node in graph.nodes):
        kinds.add("int8")
    return frozenset(kinds)


class _Build:
    """The steps that can fail, each with the reason that TensorRT logged."""

    def __init__(self, api: TensorRt, name: str, lines: Lines) -> None:
        self._api = api
        self._name = name
        self._lines = lines
        try:
            self.builder: Any = api.trt.Builder(api.log.logger)
        except (TypeError, RuntimeError) as error:
            reason = explain(f"{lines.reason()} ({error})")
            raise BackendError(f"TensorRT {api.version_text} does not start: {reason}") from None

    def said(self, otherwise: str) -> str:
        """Return TensorRT's reason with its cause and remedy where they are known."""
        reason = self._lines.reason()
        return f"TensorRT {self._api.version_text} failed, {otherwise}: {explain(reason)}"

    def begin(self, *, typed: bool) -> tuple[Any, Any]:
        """Make an empty network and its configuration."""
        flags = 0
        explicit = self._api.flag("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")
        if explicit is not None and self._api.version < _EXPLICIT_BATCH_UNTIL:
            flags |= 1 << int(explicit)
        strong = self._api.flag("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
        if strong is not None and (typed or self._api.version >= _ALWAYS_TYPED_FROM):
            flags |= 1 << int(strong)
        network = self.builder.create_network(flags)
        config = self.builder.create_builder_config()
        if network is None or config is None:
            raise BuildError(f"{self._name}: {self.said('it made no network')}")
        return network, config

    def parse(self, network: Any, path: Path) -> None:
        """Fill the network from the ONNX file and the weights beside it."""
        parser = self._api.trt.OnnxParser(network, self._api.log.logger)
        if parser.parse_from_file(str(path)):
            return
        if parser.num_errors == 0:
            raise BuildError(f"{self._name}: {self.said('the file was not read')}")
        mistake = parser.get_error(0)
        place = _PLACE.search(self._lines.reason())
        operator, node = (place[2], place[3] or f"number {place[1]}") if place else ("", "")
        if hasattr(mistake, "node_operator"):
            operator, node = mistake.node_operator() or operator, mistake.node_name() or node
        where = f"operator {operator} ({node!r})" if operator else "the file"
        raise BuildError(
            f"{self._name}: TensorRT {self._api.version_text} does not take {where}: "
            f"{explain(' '.join(mistake.desc().split()))}"
        )

    def add_profile(self, network: Any, config: Any, options: BuildOptions) -> None:
        """Tell the shapes of the dynamic inputs."""
        dynamic = {}
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            if any(n < 0 for n in tuple(tensor.shape)):
                dynamic[tensor.name] = tuple(tensor.shape)
        if not dynamic:
            return
        optimization = self.builder.create_optimization_profile()
        for name, declared in dynamic.items():
            if name not in options.profile:
                shape = "x".join("?" if n < 0 else str(n) for n in declared)
                raise BuildError(f"{self._name}: input {name!r} has shape {shape}; export it with fixed sizes")
            shapes = options.profile[name]
            if len(shapes.best) != len(declared) or any(
                n not in (wanted, -1) for n, wanted in zip(declared, shapes.best, strict=True)
            ):
                raise BuildError(f"{self._name}: input {name!r} has shape {list(declared)}, got {list(shapes.best)}")
            optimization.set_shape(name, shapes.least, shapes.best, shapes.most)
        if config.add_optimization_profile(optimization) < 0:
            raise BuildError(f"{self._name}: {self.said('the shapes were refused')}")

    def take_timings(self, config: Any, content: bytes, notes: list[str]) -> None:
        """Reuse the timings of an earlier build; those of another machine or damaged ones are left out."""
        timing = config.create_timing_cache(content)
        if timing is not None and config.set_timing_cache(timing, False):
            return
        notes.append("the timing cache is of another TensorRT or GPU, or damaged, and starts anew")
        # The refusal is in the log as an error; it is no reason of what follows.
        self._lines.clear()
        timing = config.create_timing_cache(b"")
        if timing is not None:
            config.set_timing_cache(timing, False)


def _configure(api: TensorRt, config: Any, options: BuildOptions) -> None:
    if options.workspace is not None:
        config.set_memory_pool_limit(api.trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.tactic_dram is not None:
        config.set_memory_pool_limit(api.trt.MemoryPoolType.TACTIC_DRAM, options.tactic_dram)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.max_aux_streams is not None:
        config.max_aux_streams = options.max_aux_streams
    if not options.tf32:
        config.clear_flag(api.trt.BuilderFlag.TF32)
    verbosity = api.trt.ProfilingVerbosity
    config.profiling_verbosity = verbosity.DETAILED if options.detailed else verbosity.LAYER_NAMES_ONLY


def _choose_precision(api: TensorRt, network: Any, config: Any, kinds: frozenset[str], options: BuildOptions) -> None:
    strong = api.flag("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
    if strong is not None and (kinds or api.version >= _ALWAYS_TYPED_FROM):
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
