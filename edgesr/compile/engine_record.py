"""What an engine depends on, the key made of it, and the record that lies beside every engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesr.compile.recipe import BuildOptions
from edgesr.device import find_jetson
from edgesr.engines.cuda import Device
from edgesr.engines.trt_api import TensorRt

FORMAT = 2
"""Raised when engines of older versions of edgesr must not be used any more."""
_TUNING = ("workspace", "optimization_level", "max_aux_streams", "locked")
"""Options that make an engine faster or slower, and leave alone what it takes and gives."""


@dataclass(frozen=True)
class Entry:
    """One engine of the cache; ``facts`` is what its key was made of."""

    key: str
    path: Path
    size: int
    """Bytes."""
    created: float
    """Seconds since 1970."""
    model: str
    facts: Mapping[str, Any]
    seconds: float
    """How long the build took."""


def machine_facts(api: TensorRt, device: Device) -> dict[str, Any]:
    """Return what ties an engine to this machine."""
    jetson = find_jetson()
    l4t = jetson.l4t if jetson else None
    return {
        "tensorrt": api.version_text,
        "cuda": ".".join(map(str, device.runtime.version)),
        "gpu": device.name,
        "compute_capability": ".".join(map(str, device.compute_capability)),
        "sm_count": device.sm_count,
        "l4t": ".".join(map(str, l4t)) if l4t else "",
    }


def engine_facts(onnx_digest: str, machine: Mapping[str, Any], options: BuildOptions) -> dict[str, Any]:
    """Return everything that an engine depends on; ``onnx_digest`` covers external data too."""
    return {"format": FORMAT, "onnx": onnx_digest, "machine": dict(machine), "options": options.document()}


def key_of(facts: Mapping[str, Any]) -> str:
    """Hash facts, whatever their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_record(sidecar: Path) -> dict[str, Any] | None:
    """Read a sidecar; None where it is damaged or of another engine."""
    try:
        record = json.loads(sidecar.read_text("utf-8"))
        is_whole = (
            isinstance(record["sha256"], str)
            and isinstance(record["created"], float)
            and isinstance(record["build_seconds"], float)
            and isinstance(record["model"], str)
            and "tensorrt" in record["facts"]["machine"]
            and key_of(record["facts"]) == sidecar.stem
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if is_whole else None


def untuned(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts without the options that only make an engine faster or slower; JSON data like a record's."""
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    plain["options"] = {name: value for name, value in plain["options"].items() if name not in _TUNING}
    return plain
