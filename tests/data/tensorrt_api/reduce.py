"""Reduce dumps of TensorRT's Python bindings to the names, signatures and enum values that the tests need.

    python tests/data/tensorrt_api/reduce.py FOLDER_OF_DUMPS

Each dump is one JSON file per version, made by introspection of NVIDIA's own `tensorrt*_bindings` wheels: classes with
the signature line of every docstring, and enums with their numbers. What is written beside this file is a list of facts
about the interface; it holds no code and no documentation of NVIDIA's.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

CLASSES = set(
    """
Builder IBuilderConfig INetworkDefinition ILayer ITensor IOptimizationProfile ITimingCache OnnxParser ParserError
Runtime ICudaEngine IExecutionContext IRuntimeConfig ISerializationConfig EngineInspector IHostMemory IOutputAllocator
ILogger Logger Dims Weights IProgressMonitor IProfiler IStreamReader IStreamReaderV2 IStreamWriter IGpuAllocator
IErrorRecorder IPluginRegistry Refitter OnnxParserRefitter
""".split()  # noqa: SIM905
)
NOISE = {"_pybind11_conduit_v1_", "__enter__", "__exit__", "__del__", "__hash__", "__nonzero__"}


def reduced(dump: dict) -> dict:
    """Keep the classes above, all enums with their numbers and the module's functions."""
    classes = {}
    for name in sorted(CLASSES & set(dump["classes"])):
        members: dict[str, dict] = {"methods": {}, "properties": {}}
        for member, found in sorted(dump["classes"][name]["members"].items()):
            if member in NOISE or found["kind"] == "attribute":
                continue
            lines = [plain(line) for line in found.get("signatures", [])]
            if found["kind"] == "property":
                members["properties"][member] = lines[0].rpartition(" -> ")[2] if lines else ""
            else:
                members["methods"][member] = [re.sub(r"^\w+\((self: \w+(, )?)?", "(", line) for line in lines]
        classes[name] = {"bases": dump["classes"][name]["bases"], **members}
    return {
        "version": dump["version"],
        "classes": classes,
        "enums": {name: dump["enum_values"][name] for name in sorted(dump["enums"])},
        "functions": {
            name: [plain(line) for line in found["signatures"] if line] for name, found in dump["functions"].items()
        },
    }


def plain(signature: str) -> str:
    """Write the C++ and Python spellings of one type alike: they changed with pybind11, not with TensorRT."""
    for spelled, name in (
        (r"nvinfer1::v_1_0::|nvinfer1::|nvonnxparser::", ""),
        (r"ILogger::Severity|ILogger\.Severity", "Severity"),
        (r"\bIEngineInspector\b", "EngineInspector"),
        (r"\bIParserError\b", "ParserError"),
        (r"typing_extensions\.Buffer", "buffer"),
        (r"typing_extensions\.CapsuleType", "capsule"),
        (r"typing\.SupportsInt", "int"),
        (r"typing\.SupportsFloat", "float"),
        (r"collections\.abc\.Sequence|\bList\b", "list"),
        (r"<\w+\.(\w+): \d+>", r"\1"),
        (r"detail::accessor<[\w:]+>", "IPluginRegistry"),
    ):
        signature = re.sub(spelled, name, signature)
    return signature


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.json")):
        target = Path(__file__).with_name(path.name)
        target.write_text(json.dumps(reduced(json.loads(path.read_text())), indent=1, sort_keys=True) + "\n")
