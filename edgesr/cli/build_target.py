"""Whether ``edgesr build`` makes an engine, and where it goes."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from edgesr.errors import BackendError, UsageError

NO_UINT16 = "TensorRT has no 16-bit unsigned numbers; use --embed-io uint8, or leave --embed-io out"
SUFFIXES = (".engine", ".plan", ".trt")
_SHAPES = ("tile", "shapes", "min_shapes", "opt_shapes", "max_shapes")
_ASKING = (*_SHAPES, "workspace", "opt_level", "max_aux_streams", "locked", "portable", "dla")


def why_none(arguments: argparse.Namespace) -> str:
    """Say why no engine is built, or nothing where one is; raise BackendError where one was asked for."""
    option = next((name for name in _ASKING if getattr(arguments, name) not in (None, False)), None)
    is_file = engine_file(arguments) is not None
    if arguments.target == "onnx":
        if option or is_file:
            what = f"-o {arguments.output}" if is_file else f"--{(option or '').replace('_', '-')}"
            raise UsageError(f"--target onnx makes no engine; leave it out, or leave out {what}")
        return "--target onnx was asked for"
    if arguments.locked and arguments.auto:
        raise UsageError("--locked rebuilds one precision; name it in place of --auto")
    if arguments.locked and not is_file:
        raise UsageError("--locked keeps its timings beside the engine; say where with -o NAME.engine")
    if arguments.embed_io == "uint16":
        if is_asked(arguments):
            raise UsageError(NO_UINT16)
        return NO_UINT16
    if arguments.dla is not None and not (arguments.fp16 or arguments.int8 or arguments.auto):
        raise UsageError("the DLA computes in FP16 and INT8 alone; give --dla with --fp16 or --int8")
    if importlib.util.find_spec("tensorrt") is not None:
        return ""
    if (arguments.target == "engine" or option or is_file) and not arguments.dry_run:
        raise BackendError("no engine can be built: TensorRT is not here; use --target onnx without engine options")
    return "TensorRT is not here"


def engine_file(arguments: argparse.Namespace) -> Path | None:
    """Return where the engine goes, None for the cache."""
    output = Path(arguments.output) if arguments.output else None
    return output if output is not None and output.suffix.lower() in SUFFIXES else None


def is_asked(arguments: argparse.Namespace) -> bool:
    """Tell whether the user wants an engine or nothing."""
    asks = any(getattr(arguments, name) not in (None, False) for name in _ASKING)
    return arguments.target == "engine" or engine_file(arguments) is not None or asks
