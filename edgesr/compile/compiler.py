"""An ONNX file as an engine for one GPU: from the cache, or built in a child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgesr.compile.build_process import Watch, build_in_process, survey_in_process
from edgesr.compile.durations import show_seconds
from edgesr.compile.engine_cache import EngineCache, Prove
from edgesr.compile.engine_record import engine_facts, key_of, machine_facts
from edgesr.compile.exchange import BuildRequest
from edgesr.compile.limits import SMALL_BOARD, find_limits
from edgesr.compile.recipe import BuildOptions, BuiltPlan, Limits, Survey
from edgesr.compile.shapes import Profile, show_profile
from edgesr.engines.cuda import Device
from edgesr.engines.trt_api import TensorRt

Build: TypeAlias = Callable[[BuildRequest, Watch], BuiltPlan]

_AMPERE = (8, 0)


@dataclass(frozen=True)
class Source:
    """A network to compile; ``digest`` covers its external data, ``name`` is for messages."""

    onnx: Path
    digest: str
    name: str


@dataclass(frozen=True)
class Tuning:
    """What a user may ask of a build; None leaves it to TensorRT or to the machine."""

    workspace: int | None = None
    """Bytes."""
    optimization_level: int | None = None
    max_aux_streams: int | None = None
    is_portable: bool = False
    dla_core: int | None = None
    locked: str | None = None
    """See BuildOptions.locked."""


@dataclass(frozen=True)
class Compiler:
    """Compiles networks for one GPU; ``note`` is told what takes long and what was odd, ``tick`` how it goes on.

    ``tick`` gets what the build does now and how many seconds the last build of the network took, None where that is
    not known; it is called every fraction of a second.
    """

    api: TensorRt
    device: Device
    cache: EngineCache = field(default_factory=EngineCache)
    note: Callable[[str], None] = lambda text: None
    tick: Callable[[str, float | None], None] = lambda phase, last: None
    build: Build = lambda request, watch: build_in_process(request, watch=watch)

    def options(self, profile: Profile, tuning: Tuning | None = None) -> BuildOptions:
        """Return the settings of a build for this GPU."""
        tuning = tuning or Tuning()
        is_small = self.device.is_integrated and self.device.total_memory < SMALL_BOARD
        streams = 0 if tuning.max_aux_streams is None and is_small else tuning.max_aux_streams
        # On Jetson's integrated GPUs TensorRT builds for their own architecture alone.
        has_others = not self.device.is_integrated and self.device.compute_capability >= _AMPERE
        return BuildOptions(
            profile,
            workspace=tuning.workspace,
            optimization_level=tuning.optimization_level,
            max_aux_streams=streams,
            version_compatible=tuning.is_portable,
            hardware_compatible=tuning.is_portable and has_others,
            dla_core=tuning.dla_core,
            locked=tuning.locked,
        )

    def limits(self, options: BuildOptions) -> Limits:
        """Return the memory that a build would get now."""
        return find_limits(self.device, options)

    def key(self, source: Source, options: BuildOptions) -> str:
        """Return the key of the engine in the cache."""
        return key_of(engine_facts(source.digest, machine_facts(self.api, self.device), options))

    def compile(
        self,
        source: Source,
        options: BuildOptions,
        *,
        prove: Prove | None = None,
        timings: Path | None = None,
        any_tuning: bool = False,
    ) -> Path:
        """Return the engine, built where the cache has none.

        ``prove`` must accept it, else it is not kept. ``timings`` stand in for those that all builds on this machine
        share. With ``any_tuning`` the newest engine of the same network and shapes will do, e.g. one that the user
        built with another optimization level.
        """
        facts = engine_facts(source.digest, machine_facts(self.api, self.device), options)
        tuned = self.cache.like(facts) if any_tuning else None
        if tuned is not None:
            return tuned
        last = self.cache.last_seconds(source.digest)

        def begin(shared: Path) -> BuiltPlan:
            shapes = show_profile(options.profile) or "its own sizes"
            how_long = "this can take minutes" if last is None else f"the last build took {show_seconds(last)}"
            self.note(f"builds the TensorRT engine of {source.name} for {shapes}, once for this machine; {how_long}")
            watch = Watch(lambda phase: self.tick(phase, last), self._surveyed)
            limits = self.limits(options)
            request = BuildRequest(source.onnx, options, self.device.index, limits, timings or shared)
            built = self.build(request, watch)
            for text in built.notes:
                self.note(text)
            return built

        return self.cache.take(facts, begin, model=source.name, note=self.note, prove=prove)

    def survey(self, source: Source, options: BuildOptions) -> Survey:
        """Let TensorRT read the network and say what it would build; raise BuildError for what it does not take."""
        return survey_in_process(BuildRequest(source.onnx, options, self.device.index, self.limits(options)))

    def _surveyed(self, found: Survey) -> None:
        if found.dla_layers is not None:
            self.note(found.told())
