"""The engine of a model that ``edgesr build`` wrote: built into the cache, where ``edgesr run`` finds it."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from edgesr.cli.output import note
from edgesr.compile.compiler import Compiler
from edgesr.engines import open_backend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError, BuildError
from edgesr.model import open_package
from edgesr.pipelines.compiled import compile_package


def why_none(arguments: argparse.Namespace) -> str:
    """Say why no engine is built, or nothing where one is; raise BackendError where one was asked for."""
    asked = arguments.target
    if asked == "onnx":
        return "--target onnx was asked for"
    if importlib.util.find_spec("tensorrt") is None:
        reason = "TensorRT is not here"
    elif arguments.onnx or (arguments.output or "").lower().endswith(".onnx"):
        reason = "engines are built of model packages, and this is an ONNX file"
    else:
        return ""
    if asked == "engine":
        raise BackendError(f"no engine can be built: {reason}; use --target onnx")
    return reason


def try_engine(arguments: argparse.Namespace, package: Path) -> Path | None:
    """Build the engine of a written package; None where nobody asked for one and none can be built."""
    try:
        return build_engine(package)
    except (BackendError, BuildError) as error:
        if arguments.target == "engine":
            raise
        note(f"the engine is left out: {error}")
    return None


def build_engine(package: Path) -> Path:
    """Compile a written package for this machine's GPU and the tile it runs by itself, and return the engine."""
    backend = open_backend("tensorrt")
    try:
        if not isinstance(backend, TrtBackend):
            raise BackendError(f"backend {backend.name} builds no engines")
        return compile_package(open_package(package), Compiler(backend.tensorrt, backend.device, note=note))
    finally:
        backend.close()
