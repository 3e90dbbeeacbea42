"""The engine that ``edgesr build`` makes of a typed network: its shapes and settings, its proof, and where it goes."""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from edgesr.cli.build_shapes import choose_profile
from edgesr.cli.build_target import engine_file, is_asked
from edgesr.cli.engine_file import check_engine_file, timings_beside, write_engine
from edgesr.cli.spinner import Spinner
from edgesr.compile.compare import Comparison
from edgesr.compile.compare_engine import compare_engine
from edgesr.compile.compiler import Compiler, Source, Tuning
from edgesr.compile.configure import require_lockable
from edgesr.compile.durations import show_seconds
from edgesr.compile.embed_io import embedded_profile
from edgesr.compile.engine_time import engine_time
from edgesr.compile.feeds import Feed
from edgesr.compile.gate import Verdict
from edgesr.compile.graph import Graph
from edgesr.compile.limits import show_bytes
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import is_static, show_profile
from edgesr.compile.tensors import TensorProof
from edgesr.compile.typed import Typed
from edgesr.compile.validate import nearest_table, operator_problems, untold
from edgesr.engines import open_backend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError, UsageError
from edgesr.model import ModelPackage
from edgesr.model.onnx_file import read_graph
from edgesr.model.rules import NETWORK
from edgesr.pipelines.calibrate import PictureProof
from edgesr.pipelines.calibrate_labels import LabelProof

Proof: TypeAlias = PictureProof | LabelProof | TensorProof
Check = Callable[[Verdict], dict[str, Any]]
"""Raises AccuracyError for a comparison that misses the gate, returns its record for one that passes."""


@dataclass(frozen=True)
class BuiltEngine:
    """An engine that passed its gate; ``record`` is what the cache keeps about it."""

    path: Path
    key: str
    record: dict[str, Any]

    def told(self) -> str:
        """Say how it came out."""
        proof = self.record["proof"]
        psnr = proof.get("min_psnr")
        close = "no difference" if psnr is None else f"PSNR at least {psnr:.1f} dB"
        took, workspace = show_seconds(self.record["build_seconds"]), show_bytes(self.record["limits"]["workspace"])
        return f"the engine itself, against FP32: {close}; it took {took} to build, workspace {workspace}"

    def document(self) -> dict[str, Any]:
        """Return JSON data."""
        return {"path": str(self.path), "key": self.key, **self.record}


class EngineBuild:
    """Everything about the engine that is known before its network is converted; closes its backend with ``close``."""

    def __init__(
        self, arguments: argparse.Namespace, package: ModelPackage | None, onnx: Path, part: str = NETWORK
    ) -> None:
        self._is_asked = is_asked(arguments)
        self._output = engine_file(arguments)
        check_engine_file(self._output)
        self._is_portable = arguments.portable
        self.name = package.descriptor.name if package else Path(arguments.onnx).stem
        profile = plain = choose_profile(arguments, package, read_graph(onnx), part)
        if arguments.embed_io and package is not None:
            profile = embedded_profile(profile, package.descriptor, arguments.embed_io)
        if arguments.dla is not None and not is_static(profile):
            raise UsageError("the DLA takes one shape for each input; give --shapes or --tile in place of a range")
        self._backend = _opened()
        if arguments.locked:
            with _closing_on_error(self._backend):
                require_lockable(self._backend.tensorrt)
        self._spinner = Spinner(quiet=arguments.json)
        self.compiler = Compiler(
            self._backend.tensorrt, self._backend.device, note=self._spinner.note, tick=self._spinner.tick
        )
        self._timings = timings_beside(self._output) if arguments.locked and self._output else None
        tuning = Tuning(
            arguments.workspace,
            arguments.opt_level,
            arguments.max_aux_streams,
            is_portable=arguments.portable,
            dla_core=arguments.dla,
            locked=_digest(self._timings) if self._timings else None,
        )
        self.options: BuildOptions = self.compiler.options(profile, tuning)
        self._plain = replace(self.options, profile=plain)

    def warnings(self) -> list[str]:
        """Say what the settings cost."""
        said = []
        if self._is_portable:
            gpus = "every GPU from Ampere on" if self.options.hardware_compatible else "this GPU's architecture alone"
            said.append(
                f"a portable engine, for newer TensorRT and {gpus}, is slower than one for this machine, and "
                "holds code that runs on the CPU: load it only where you trust the file"
            )
        if self._timings is not None:
            how = "replays" if self.options.locked else "records"
            said.append(f"the build {how} {self._timings.name}")
        return said

    def build(self, typed: Typed, proof: Proof, check: Check) -> BuiltEngine:
        """Build the engine, compare its outputs with FP32, and return it where it was asked for or in the cache."""
        with self._network(typed) as source, self._spinner:
            plan = self.compiler.compile(
                source,
                self.options,
                prove=lambda path: check(self._compare(path, typed, proof)),
                timings=self._timings,
            )
        record = self.compiler.cache.record(plan)
        return BuiltEngine(
            plan if self._output is None else write_engine(plan, self._output, record), plan.stem, record
        )

    def milliseconds(self, typed: Typed, proof: Proof, check: Check) -> float:
        """Build, prove and time the engine of one candidate."""
        with self._network(typed) as source, self._spinner:
            plan = self.compiler.compile(
                source, self.options, prove=lambda path: check(self._compare(path, typed, proof))
            )
        with self._opened() as backend:
            return engine_time(backend, plan, self.usual_shapes)

    def layers(self, graph: Graph, typed: Typed, feeds: Sequence[Feed], threshold: float) -> Comparison:
        """Compare the layers of an engine with FP32; it is built for this with every tensor as an output."""
        with self._opened() as backend, self._spinner:
            return compare_engine(
                graph, typed.graph, feeds, backend, precisions=typed.precisions(), threshold=threshold
            )

    def plans(self, typed: Typed) -> dict[str, Any]:
        """Say what would be built, as TensorRT reads the network; raise BuildError for what it does not take."""
        with self._network(typed) as source:
            key = self.compiler.key(source, self.options)
            found = self.compiler.survey(source, self.options)
        limits = self.compiler.limits(self.options)
        streams = self.options.max_aux_streams
        return {
            "key": key,
            "is_cached": (self.compiler.cache.folder / f"{key}.json").exists(),
            "shapes": show_profile(self.options.profile) or "its own sizes",
            "survey": found.told(),
            "workspace": show_bytes(limits.workspace),
            "tactic_dram": show_bytes(limits.tactic_dram),
            "optimization_level": 3 if self.options.optimization_level is None else self.options.optimization_level,
            "max_aux_streams": "TensorRT's choice" if streams is None else streams,
            "machine": f"TensorRT {self.compiler.api.version_text}, {self.compiler.device.name}",
        }

    @property
    def usual_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the dynamic inputs that the engine is tuned for."""
        return {name: shapes.best for name, shapes in self.options.profile.items()}

    def ask_about(self, graph: Graph, onnx: Path) -> None:
        """Say which operators this TensorRT may not take, and let it read the network where that is doubtful.

        Raises an error, before anything is calibrated, where an engine was asked for and cannot be.
        """
        table = nearest_table(self.compiler.api.version)
        doubts = list(operator_problems(graph, table)) if table else []
        for text in doubts:
            self._spinner.note(f"the table of TensorRT {table} says: {text}; its own parser decides")
        unclear = untold(graph, table) if table else []
        if unclear:
            self._spinner.note(f"no table says whether TensorRT {table} takes {', '.join(unclear)}; its parser decides")
        if self._is_asked and (doubts or unclear or self.options.dla_core is not None):
            self.compiler.survey(Source(onnx, "", self.name), self._plain)

    def close(self) -> None:
        """Free the GPU."""
        self._spinner.stop()
        self._backend.close()

    def _compare(self, plan: Path, typed: Typed, proof: Proof) -> Verdict:
        with self._opened() as backend:
            if isinstance(proof, TensorProof):
                return proof.compare_engine(backend, plan)
            return proof.compare_engine(typed, backend, plan, self.options.profile)

    @contextmanager
    def _opened(self) -> Iterator[TrtBackend]:
        """Open a backend for a freshly built engine; code in it is our own build's."""
        backend = TrtBackend(
            self._backend.name,
            tensorrt=self._backend.tensorrt,
            cuda=self._backend.device.runtime,
            host_code=self.options.version_compatible,
        )
        try:
            yield backend
        finally:
            backend.close()

    @contextmanager
    def _network(self, typed: Typed) -> Iterator[Source]:
        content = typed.graph.bytes()
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            path = Path(folder) / f"{self.name}-{typed.precision}.onnx"
            path.write_bytes(content)
            name = self.name if typed.precision == "fp32" else path.stem
            yield Source(path, hashlib.sha256(content).hexdigest(), name)


@contextmanager
def _closing_on_error(backend: TrtBackend) -> Iterator[None]:
    """Close the backend where the block fails."""
    try:
        yield
    except BaseException:
        backend.close()
        raise


def _digest(timings: Path) -> str:
    return hashlib.sha256(timings.read_bytes()).hexdigest() if timings.is_file() else ""


def _opened() -> TrtBackend:
    backend = open_backend("tensorrt")
    if not isinstance(backend, TrtBackend):
        raise BackendError(f"backend {backend.name} builds no engines")
    return backend
