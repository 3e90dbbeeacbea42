"""The double's plan files: a true TensorRT header, facts about the build, and the ONNX model that is the engine."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

# Build numbers that NVIDIA shipped with; the Python version of some releases leaves them out.
BUILDS = {"8.6.1": 6, "10.3.0": 26}
TAG = 0x74727466
_HEAD = struct.Struct("<II16s4BQI")


@dataclass
class Plan:
    """One engine: ``profiles`` map an input's name to (min, opt, max); ``layers`` is what the inspector tells."""

    version: tuple[int, ...]
    onnx: bytes
    gpu: str
    profiles: list[dict[str, list[list[int]]]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    verbosity: str = "LAYER_NAMES_ONLY"
    layers: list[dict[str, Any]] = field(default_factory=list)
    device_memory: int = 0
    name: str = ""

    def serialize(self) -> bytes:
        facts = asdict(self)
        facts.pop("onnx")
        text = json.dumps(facts, sort_keys=True).encode()
        body = struct.pack("<Q", len(text)) + text + self.onnx
        return _HEAD.pack(TAG, 0, bytes(16), *self.version, len(body), zlib.crc32(body)) + body


def library_version(version: str) -> tuple[int, int, int, int]:
    """Return the four numbers of a release that the tests know by its Python version."""
    major, minor, patch, *build = (int(part) for part in version.split("."))
    return major, minor, patch, build[0] if build else BUILDS.get(version, 0)


def deserialize(blob: bytes, library: tuple[int, ...], gpu: str) -> Plan | str:
    """Return the plan, or the error message that TensorRT logs before it returns None."""
    if len(blob) < _HEAD.size or struct.unpack_from("<I", blob)[0] != TAG:
        return (
            "Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not "
            "match)"
        )
    _, _, _, *version, size, checksum = _HEAD.unpack_from(blob)
    body = blob[_HEAD.size :]
    if len(body) != size or zlib.crc32(body) != checksum:
        return "Error Code 1: Serialization (Serialization assertion plan->header.size == blobSize failed.)"
    (length,) = struct.unpack_from("<Q", body)
    facts = json.loads(body[8 : 8 + length])
    plan = Plan(onnx=body[8 + length :], **facts)
    plan.version = tuple(version)
    if plan.version != library and "VERSION_COMPATIBLE" not in plan.flags:
        expected, got = (".".join(map(str, numbers)) for numbers in (library, plan.version))
        return (
            "Error Code 6: API Usage Error (The engine plan file is not compatible with this version of TensorRT, "
            f"expecting library version {expected} got {got}, please rebuild.)"
        )
    if plan.gpu != gpu and "AMPERE_PLUS" not in plan.flags:
        return (
            "Error Code 6: API Usage Error (The engine plan file is generated on an incompatible device, expecting "
            f"compute {gpu} got compute {plan.gpu}, please rebuild.)"
        )
    return plan
