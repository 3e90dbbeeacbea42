"""Build an engine from an ONNX file: one path from TensorRT 8.6 to 11.

The precision is that of the ONNX file. TensorRT 10 and newer follow its types exactly (STRONGLY_TYPED); 8.6 is given
the flags FP16 and INT8 where the file holds such tensors, and layers that the file keeps in FP32 are pinned to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesr.compile.configure import choose_precision, configure, is_strongly_typed, survey
from edgesr.compile.graph import HALF, Graph
from edgesr.compile.recipe import BuildOptions, BuiltPlan, Limits, Survey
from edgesr.compile.timings import TimingFile
from edgesr.compile.validate import remedy_for
from edgesr.engines.messages import explain
from edgesr.engines.trt_api import Lines, TensorRt
from edgesr.errors import BackendError, BuildError

_EXPLICIT_BATCH_UNTIL = (10,)
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
_PLACE = re.compile(r"node number (\d+) \[(\w+)(?: -> [\"']?([^\"'\]]*))?")
# ModelImporter.cpp keeps these from ONNX Runtime alone: supports_operator denies them, the parser takes them.
_DENIED = frozenset({"NonMaxSuppression", "NonZero", "RoiAlign"})


@dataclass(frozen=True)
class Steps:
    """Who is told how a build goes on; never while kernels are timed, which would disturb the timing."""

    phase: Callable[[str], None] = lambda text: None
    """What begins now."""
    surveyed: Callable[[Survey], None] = lambda found: None


def build_plan(
    api: TensorRt,
    onnx_path: Path,
    options: BuildOptions,
    *,
    limits: Limits | None = None,
    timings: Path | None = None,
    steps: Steps | None = None,
) -> BuiltPlan:
    """Build an engine on the calling thread's current GPU; raise BuildError with TensorRT's reason.

    ``limits`` are those of ``options`` alone when None. ``timings`` is a file that builds of the same TensorRT and the
    same kind of GPU share; it is read, and then gets what was measured, unless ``options.locked`` names its content.
    """
    steps = steps or Steps()
    notes: list[str] = []
    with api.log.collect() as lines:
        build = _Build(api, onnx_path, options, lines)
        found = build.read(limits or Limits(options.workspace), steps.phase)
        steps.surveyed(found)
        if options.dla_core is not None and not found.dla_layers:
            raise BuildError(f"{onnx_path.name}: {found.told()}; leave out --dla")
        file = None if timings is None else TimingFile(timings)
        if file is not None:
            refused = file.load(build.config, lines)
            if refused and options.locked:
                raise BuildError(f"{timings}: {refused}; record new timings: delete it and build with --locked again")
            notes += [refused] if refused else []
        steps.phase("measuring kernels" if not options.locked else "building with the recorded kernels")
        serialized = build.builder.build_serialized_network(build.network, build.config)
        if serialized is None:
            raise BuildError(f"{onnx_path.name}: {build.said('no engine was built')}{_if_locked(options, timings)}")
        if file is not None and not options.locked:
            notes += _kept(file, build.config, options)
        warnings = tuple(dict.fromkeys(" ".join(line.text.split()) for line in lines))
    return BuiltPlan(bytes(memoryview(serialized)), warnings, tuple(notes))


def survey_network(api: TensorRt, onnx_path: Path, options: BuildOptions) -> Survey:
    """Let TensorRT read a network and say what it would do with it, without a build."""
    with api.log.collect() as lines:
        return _Build(api, onnx_path, options, lines).read(Limits(options.workspace), lambda text: None)


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

    def __init__(self, api: TensorRt, path: Path, options: BuildOptions, lines: Lines) -> None:
        self._api = api
        self._path = path
        self._name = path.name
        self._options = options
        self._lines = lines
        self._graph = Graph.read(path)
        try:
            self.builder: Any = api.trt.Builder(api.log.logger)
        except (TypeError, RuntimeError) as error:
            reason = explain(f"{lines.reason()} ({error})")
            raise BackendError(f"TensorRT {api.version_text} does not start: {reason}") from None
        kinds = reduced_types(self._graph)
        self._kinds = kinds
        self.network, self.config = self._begin(typed=is_strongly_typed(api, kinds, options))

    def read(self, limits: Limits, phase: Callable[[str], None]) -> Survey:
        """Fill the network and the configuration."""
        phase("reading the network")
        self._parse()
        configure(self._api, self.builder, self.config, self._options, limits)
        choose_precision(self._api, self.network, self.config, self._kinds, self._options)
        self._add_profile()
        return survey(self.network, self.config, self._options)

    def said(self, otherwise: str) -> str:
        """Return TensorRT's reason with its cause and remedy where they are known."""
        reason = self._lines.reason()
        return f"TensorRT {self._api.version_text} failed, {otherwise}: {explain(reason)}"

    def _begin(self, *, typed: bool) -> tuple[Any, Any]:
        """Make an empty network and its configuration."""
        flags = 0
        explicit = self._api.flag("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")
        if explicit is not None and self._api.version < _EXPLICIT_BATCH_UNTIL:
            flags |= 1 << int(explicit)
        strong = self._api.flag("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
        if strong is not None and typed:
            flags |= 1 << int(strong)
        network = self.builder.create_network(flags)
        config = self.builder.create_builder_config()
        if network is None or config is None:
            raise BuildError(f"{self._name}: {self.said('it made no network')}")
        return network, config

    def _parse(self) -> None:
        """Fill the network from the ONNX file and the weights beside it."""
        parser = self._api.trt.OnnxParser(self.network, self._api.log.logger)
        if self._options.version_compatible or self._options.hardware_compatible:
            # The other form of this layer is a plugin, which such engines cannot carry along.
            parser.set_flag(self._api.trt.OnnxParserFlag.NATIVE_INSTANCENORM)
        if parser.parse_from_file(str(self._path)):
            return
        if parser.num_errors == 0:
            raise BuildError(f"{self._name}: {self.said('the file was not read')}")
        mistake = parser.get_error(0)
        place = _PLACE.search(self._lines.reason())
        operator, node = (place[2], place[3] or f"number {place[1]}") if place else ("", "")
        if hasattr(mistake, "node_operator"):
            operator, node = mistake.node_operator() or operator, mistake.node_name() or node
        unknown = self._unknown(parser)
        if unknown:
            raise BuildError(
                f"{self._name}: TensorRT {self._api.version_text} does not take "
                f"{'operators' if len(unknown) > 1 else 'operator'} {'; '.join(unknown)}"
            )
        where = f"operator {operator} ({node!r})" if operator else "the file"
        raise BuildError(
            f"{self._name}: TensorRT {self._api.version_text} does not take {where}: "
            f"{explain(' '.join(mistake.desc().split()))}"
        )

    def _unknown(self, parser: Any) -> list[str]:
        """List every operator that the parser does not know, with its first node and the rewrite that helps."""
        first: dict[str, str] = {}
        for node in self._graph.nodes:
            if node.op_type not in _DENIED and not parser.supports_operator(node.op_type):
                first.setdefault(node.op_type, node.name)
        return [f"{operator} ({name!r}): {remedy_for(operator)}" for operator, name in first.items()]

    def _add_profile(self) -> None:
        """Tell the shapes of the dynamic inputs."""
        dynamic = {}
        for index in range(self.network.num_inputs):
            io_tensor = self.network.get_input(index)
            if any(n < 0 for n in tuple(io_tensor.shape)):
                dynamic[io_tensor.name] = tuple(io_tensor.shape)
        if not dynamic:
            return
        optimization = self.builder.create_optimization_profile()
        for name, declared in dynamic.items():
            if name not in self._options.profile:
                shape = "x".join("?" if n < 0 else str(n) for n in declared)
                raise BuildError(f"{self._name}: input {name!r} has shape {shape}; export it with fixed sizes")
            shapes = self._options.profile[name]
            if len(shapes.best) != len(declared) or any(
                n not in (wanted, -1) for n, wanted in zip(declared, shapes.best, strict=True)
            ):
                raise BuildError(f"{self._name}: input {name!r} has shape {list(declared)}, got {list(shapes.best)}")
            optimization.set_shape(name, shapes.least, shapes.best, shapes.most)
        if self.config.add_optimization_profile(optimization) < 0:
            raise BuildError(f"{self._name}: {self.said('the shapes were refused')}")


def _kept(file: TimingFile, config: Any, options: BuildOptions) -> list[str]:
    """Keep the timings of a finished build; where nothing but them is lost, say so in place of losing the engine."""
    try:
        file.merge(config)
    except OSError as error:
        why = f"{file.path}: the timings cannot be written: {error.strerror or error}"
        if options.locked is not None:
            raise BuildError(f"{why}; --locked needs them") from None
        return [f"{why}; the next build measures all kernels again"]
    return []


def _if_locked(options: BuildOptions, timings: Path | None) -> str:
    if not options.locked:
        return ""
    return f"; the timings in {timings} may not cover this build: delete it and record new ones with --locked"
