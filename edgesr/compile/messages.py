"""What TensorRT's and CUDA's messages mean and what helps, from their documentation and issue trackers."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One kind of message: how to know it, why it comes and what to do."""

    pattern: str
    cause: str
    remedy: str


CATALOGUE = (
    Entry(
        r"No importer registered for op|Plugin not found",
        "the operator is not known to this version",
        "export the network with standard operators (opset 16 or 17), or run it with --device cpu or cuda",
    ),
    Entry(
        r"requested but not enough memory|OutOfMemory|out of memory|cudaErrorMemoryAlloc",
        "the device has too little free memory",
        "close other programs, run with a smaller --tile, and on a Jetson add swap",
    ),
    Entry(
        r"Could not find any implementation",
        "no kernel fits into the workspace or supports these shapes",
        "run with a smaller --tile",
    ),
    Entry(
        r"Target GPU SM \d+ is not supported",
        "this TensorRT has no code for this GPU",
        "on a Jetson use the TensorRT of its JetPack",
    ),
    Entry(
        r"incompatible device",
        "the engine is of another kind of GPU",
        "build it again on this machine",
    ),
    Entry(
        r"Magic tag does not match|not compatible with this version|library version",
        "the engine is damaged or of another TensorRT",
        "build it again with this version",
    ),
    Entry(
        r"insufficient ?driver|CUDA initialization failure with error: 35",
        "the driver is older than this CUDA",
        "update the driver or install an older TensorRT",
    ),
    Entry(
        r"CUDA initialization failure|no CUDA-capable device|cudaErrorNoDevice",
        "no GPU answers",
        "look at `edgesr doctor`; in a container, pass the GPU in",
    ),
    Entry(
        r"no optimization profile|optimization profile is missing|profile does not match|profile is not valid",
        "the shapes of an input are missing or do not fit the network",
        "export it with fixed or named sizes, or run with --tile",
    ),
    Entry(
        r"Q/DQ layers but int8 is not configured|shiftIsAllZeros|Non-zero zero point|does not support int32 input",
        "the network is quantised in a form that TensorRT does not take",
        "quantise it with `edgesr build --int8`",
    ),
    Entry(
        r"strongly typed network takes no precision|kFP16|kINT8",
        "the precision of this network stands in the ONNX file",
        "leave out the precision flags",
    ),
    Entry(
        r"Failed to load external weights|external data|Failed to open file",
        "the weights beside the ONNX file are missing",
        "keep its .data files in the same folder",
    ),
    Entry(
        r"Failed to parse ONNX model|MODEL_DESERIALIZE_FAILED",
        "the file is damaged, or larger than 2 GB without external weights",
        "export it again",
    ),
    Entry(
        r"the build was cancelled",
        "the build was interrupted",
        "start it again; finished timings are kept",
    ),
)


def find(text: str) -> Entry | None:
    """Return the first entry that knows a message."""
    return next((entry for entry in CATALOGUE if re.search(entry.pattern, text, re.IGNORECASE)), None)


def explain(text: str) -> str:
    """Return the message with its cause and remedy, or as it is."""
    entry = find(text)
    return text if entry is None else f"{text} ({entry.cause}); {entry.remedy}"
