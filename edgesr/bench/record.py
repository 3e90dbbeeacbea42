"""One benchmark as a document: machine, settings, and a row for every model and setting, with the raw samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from edgesr.bench.metrics.catalogue import main_figure
from edgesr.bench.statistics import Summary

SCHEMA = 1
"""Version of the JSON form; readers refuse others."""

STAGES = ("pre", "h2d", "compute", "d2h", "post", "end_to_end")
"""Stages of one picture in their order: prepare, copy to the device, compute, copy back, finish; and all together."""

Status = Literal["valid", "invalid", "failed"]
Value = str | float | int | bool | None


@dataclass(frozen=True)
class Reading:
    """One fact about the machine or a run, and where it comes from."""

    value: Value
    """None where it could not be read."""
    source: str
    """File, library or command that was asked."""
    unit: str = ""
    missing: str = ""
    """Why there is no value; empty where there is one."""


@dataclass(frozen=True)
class Stage:
    """The times of one stage."""

    samples: tuple[float, ...]
    """Milliseconds, one per picture, in the order in which they were run."""

    @cached_property
    def summary(self) -> Summary:
        """The samples in figures."""
        return Summary.of(self.samples)


@dataclass(frozen=True)
class Throughput:
    """Pictures per second with several in work at once."""

    images_per_second: float
    streams: int
    """Threads that each had one picture in work."""
    images: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """One model with one setting on one device."""

    model: str
    """Name, or the file as the user gave it."""
    sha256: str
    """Of the package's content; of the ONNX file for a bare one; empty where the model could not be opened."""
    precision: str
    """``fp32``, ``fp16``, ``int8`` or ``bf16``, of the network that ran."""
    device: str
    """What ran it, e.g. ``onnxruntime:cpu``; what was asked for where it could not be opened."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """The setting as it was asked for, ``Spec.asked``, by which a resumed run knows the row again."""
    task: str = ""
    scale: int = 1
    steps: int | None = None
    """Network evaluations of a diffusion; None for other models."""
    tile: int | None = None
    """Tile side in input pixels; None for automatic."""
    input_size: tuple[int, int, int] | None = None
    """Width, height and channels of the timed pictures; of the first where they differ."""
    output_size: tuple[int, int, int] | None = None
    """Width, height and channels; None for labels."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What the times hold for, in words: ``graph``, ``transfers``, ``spin``, ``clock``, ``threads``, ..."""
    stages: Mapping[str, Stage] = field(default_factory=dict)
    """By name of ``STAGES``; stages that were not measured are absent."""
    load_ms: float | None = None
    """Milliseconds from the model's name to a pipeline that can run, with ``build_ms`` where an engine was built."""
    build_ms: float | None = None
    """Milliseconds for lowering the precision and compiling; None where nothing was built."""
    first_ms: float | None = None
    """Milliseconds of the first picture, end to end."""
    warmup: Mapping[str, Value] = field(default_factory=dict)
    """``images``, ``seconds``, ``is_stable`` of the warm-up."""
    throughput: tuple[Throughput, ...] = ()
    """One for every number of streams that was tried."""
    memory: Mapping[str, Reading] = field(default_factory=dict)
    """``peak_rss`` and ``device`` in bytes."""
    power: Mapping[str, Reading] = field(default_factory=dict)
    """``watts`` while running, ``idle_watts`` before, ``joules_per_image`` and ``joules_per_image_above_idle``."""
    temperatures: Mapping[str, Reading] = field(default_factory=dict)
    """``start`` and ``end``, the hottest sensor in degrees Celsius."""
    mlperf: Mapping[str, Value] = field(default_factory=dict)
    """``p90_ms``, ``queries``, ``seconds``, ``is_compliant``, ``reason`` under ``--mlperf``."""
    quality: Mapping[str, Any] | None = None
    """``document()`` of a ``Quality`` or ``LabelQuality`` on the same pictures in this run, and ``delta_fp32``: what
    each figure is above that of the FP32 form, where that is known. None where it was not measured."""
    layers: tuple[Mapping[str, Any], ...] = ()
    """Slowest first: ``name``, ``type``, ``ms`` per picture, ``share``; only under ``--layers``."""
    roofline: Mapping[str, Any] = field(default_factory=dict)
    """Operations, bytes, measured peaks and the fraction reached; only under ``--layers``."""
    status: Status = "valid"
    reasons: tuple[str, ...] = ()
    """Why the row is invalid or failed, one line each."""
    notes: tuple[str, ...] = ()
    """What a reader should know and what is missing, one line each."""

    @property
    def key(self) -> tuple[str, str, str, str, int, int]:
        """What makes rows of two documents, or of a resumed run, the same measurement."""
        return (self.model, self.sha256, self.precision, self.device, self.steps or 0, self.tile or 0)

    @property
    def latency(self) -> Summary | None:
        """Milliseconds end to end, None where the model failed."""
        stage = self.stages.get("end_to_end")
        return stage.summary if stage and stage.samples else None

    @property
    def joules_per_image(self) -> float | None:
        """Energy of one picture in joules, None where no sensor could be read."""
        reading = self.power.get("joules_per_image")
        return float(reading.value) if reading is not None and isinstance(reading.value, int | float) else None

    def figure(self, metric: str) -> float | None:
        """Return a quality figure of all pictures, such as ``"psnr"`` or ``"top1"``."""
        return _number(self._figures.get(metric))

    def delta(self, metric: str) -> float | None:
        """Return what a figure is above that of the FP32 form of the model; None where that is not known."""
        return _number(((self.quality or {}).get("delta_fp32") or {}).get(metric))

    @property
    def main_figure(self) -> str | None:
        """The figure that judges the model: PSNR of a restoration with references, or that of its task."""
        return main_figure([name for name, value in self._figures.items() if value is not None])

    @property
    def _figures(self) -> Mapping[str, Any]:
        quality = self.quality or {}
        return quality.get("mean") or quality.get("values") or {}


@dataclass(frozen=True)
class Document:
    """Everything that one run of ``edgesr bench`` measured."""

    created: str
    """UTC, ISO 8601."""
    edgesr: str
    """Version."""
    machine: Mapping[str, Reading]
    settings: Mapping[str, Any]
    """Duration, counts, pictures, seeds: what the user set or the defaults gave."""
    rows: tuple[Row, ...]
    schema: int = SCHEMA

    @property
    def is_valid(self) -> bool:
        """Tell whether no row throttled or was unstable."""
        return all(row.status != "invalid" for row in self.rows)


def _number(value: Any) -> float | None:
    return float(value) if value is not None else None
