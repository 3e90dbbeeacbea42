"""What an engine really computes in, counted from what TensorRT's inspector tells about its layers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BuildError

_WORDS = {"Half": "fp16", "FP16": "fp16", "Float": "fp32", "FP32": "fp32", "Int8": "int8", "INT8": "int8"}
_REDUCED = ("int8", "fp16")


@dataclass(frozen=True)
class Layers:
    """Number of layers by the narrowest of their inputs' and outputs' types; ``unknown`` ones tell none."""

    counts: Mapping[str, int]
    unknown: int

    @property
    def is_told(self) -> bool:
        """Whether the engine tells the types of any layer."""
        return bool(self.counts)

    def summary(self) -> str:
        """Say it for people, e.g. ``3 layers in int8, 12 in fp16``."""
        told = ", ".join(f"{count} in {kind}" for kind, count in self.counts.items())
        return told + (f", {self.unknown} untold" if self.unknown else "") if told else "its layers tell no types"


def inspect_plan(api: TensorRt, plan: bytes, *, host_code: bool = False) -> Layers:
    """Load a plan on the current GPU and count its layers by type; raise BuildError where it does not load.

    ``host_code`` allows the code for the CPU that version-compatible plans bring.
    """
    with api.log.collect() as lines:
        runtime = api.runtime(host_code=host_code)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BuildError(f"TensorRT {api.version_text} cannot load what it just built: {lines.reason()}")
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(api.trt.LayerInformationFormat.JSON)
    return count_layers(text)


def told_layers(text: str) -> list[str | dict[str, Any]]:
    """Return the layers in the inspector's JSON: what it tells of each, or only the names."""
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        return []
    return [layer for layer in layers if isinstance(layer, str | dict)] if isinstance(layers, list) else []


def count_layers(text: str) -> Layers:
    """Count the layers in the inspector's JSON, of any version from 8.6 to 11."""
    counts: Counter[str] = Counter()
    for told in told_layers(text):
        kinds = {*layer_types(told, "Inputs"), *layer_types(told, "Outputs")} if isinstance(told, dict) else set()
        counts[next((kind for kind in (*_REDUCED, "fp32") if kind in kinds), "")] += 1
    unknown = counts.pop("", 0)
    return Layers({kind: counts[kind] for kind in (*_REDUCED, "fp32") if counts[kind]}, unknown)


def require_precision(layers: Layers, wanted: frozenset[str], *, what: str) -> list[str]:
    """Raise BuildError where a precision that was asked for is found in no layer; return what could not be proven."""
    if not wanted:
        return []
    if not layers.is_told:
        return [f"{what}: this TensorRT does not tell the layers' types, so that {_listed(wanted)} is not proven"]
    for kind in sorted(wanted):
        if not layers.counts.get(kind):
            raise BuildError(
                f"{what}: {kind.upper()} was asked for and no layer of the engine uses it ({layers.summary()}); this "
                "GPU may lack it or be faster without: build without it"
            )
    return []


def layer_types(told: Mapping[str, Any], side: str) -> Iterator[str]:
    """Yield the types of a layer's ``Inputs`` or ``Outputs``: ``Format/Datatype`` up to 10, ``DataType`` from 11."""
    borders = told.get(side)
    for border in borders if isinstance(borders, list) else ():
        if isinstance(border, dict):
            words = str(border.get("DataType") or border.get("Format/Datatype") or "").split()
            yield from (_WORDS[word] for word in words if word in _WORDS)


def _listed(wanted: frozenset[str]) -> str:
    return " and ".join(kind.upper() for kind in sorted(wanted))
