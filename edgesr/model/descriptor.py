"""What a model package says about itself: the typed form of ``model.json``, schema version 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Literal

from edgesr.errors import ModelError
from edgesr.model.diffusion import Diffusion
from edgesr.model.prediction import Prediction, Resize
from edgesr.model.rules import disagreements
from edgesr.model.schema import show, violations
from edgesr.model.uncertainty import Uncertainty

SCHEMA_VERSION = 1

Task = Literal["restore", "classify", "segment", "detect", "chain", "latent-diffusion"]
Color = Literal["grey", "y", "rgb", "bgr"]
Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True)
class SizeRequirements:
    """Heights and widths, in pixels, that the network takes; pictures are padded to them by reflection."""

    multiple: int = 1
    minimum: int = 1
    fixed: tuple[int, int] | None = None
    """``(height, width)`` when the graph has static sizes."""


@dataclass(frozen=True)
class Part:
    """One ONNX file of a package and the role of each of its tensors."""

    file: str
    sha256: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Role to tensor name: ``image``, ``quantum`` (grey-level step of the input) or the name of a control."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Role to tensor name: ``image``, ``scale`` (Laplace scale of the error); of other tasks see ``Prediction``."""


@dataclass(frozen=True)
class Control:
    """A small float32 vector input that a user may set, e.g. ``fidelity``."""

    default: tuple[float, ...]
    minimum: float | None = None
    maximum: float | None = None
    choices: Mapping[str, tuple[float, ...]] | None = None
    """Named settings, e.g. ``{"cubic": (1, 0, 0), "area": (0, 1, 0)}``."""
    estimated: bool = False
    """Unless a user sets it, every picture decides: the shares that ``degradation.estimator`` finds for it. ``default``
    then holds only for pictures that show too little."""
    description: str = ""


@dataclass(frozen=True)
class Preprocessing:
    """What the network expects: ``network = (pixel * (high - low) + low - mean) / std`` with pixel in [0, 1]."""

    color: Color = "rgb"
    layout: Layout = "NCHW"
    dtype: str = "float32"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: Resize | None = None
    """How pictures are brought to the network's size, for tasks that label pictures; None takes them as they are."""
    crop: tuple[int, int] | None = None
    """``(height, width)`` of the middle that is cut out after resizing."""
    fill: float | None = None
    """Pixel in [0, 1] around pictures smaller than the network's size; None is the network's own zero."""


@dataclass(frozen=True)
class ModelDescriptor:
    """A complete, validated description of one model."""

    name: str
    version: str
    task: Task
    parts: Mapping[str, Part]
    scale: int = 1
    input_channels: int = 3
    output_channels: int = 3
    input: Preprocessing = Preprocessing()
    output_range: tuple[float, float] = (0.0, 1.0)
    size: SizeRequirements = SizeRequirements()
    receptive_field: int | None = None
    """Input pixels on each side that one output pixel depends on (a radius); None when unknown or unbounded."""
    tile: int | None = None
    """Preferred tile side in input pixels."""
    controls: Mapping[str, Control] = field(default_factory=dict)
    uncertainty: Uncertainty | None = None
    degradation: Mapping[str, Any] | None = None
    """The downscalers that the model inverts and what tells them apart, see docs/model-package.md."""
    schedule: Mapping[str, Any] | None = None
    """``scheduler_config.json`` as diffusers writes it, see docs/diffusion.md."""
    diffusion: Diffusion | None = None
    labels: tuple[str, ...] | None = None
    prediction: Prediction = field(default_factory=Prediction)
    stages: tuple[str, ...] = ()
    """Folders of the packages that a chain runs one after the other."""
    golden: Mapping[str, str] | None = None
    """Files of a reference input and output: ``{"input": "golden/input.png", "output": "golden/output.png"}``."""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of every further file of the package."""
    description: str = ""
    licence: str = ""
    intended_use: str = ""
    training_data: str = ""
    quality: tuple[Mapping[str, Any], ...] = ()
    precision: Mapping[str, Any] | None = None
    """How ``edgesr build`` made this network of an FP32 one; None for the network as it was exported."""

    @property
    def embedded_io(self) -> str | None:
        """``uint8`` or ``uint16`` where the graph itself takes and gives pictures (``edgesr build --embed-io``)."""
        kind = (self.precision or {}).get("embedded_io")
        return kind if isinstance(kind, str) else None

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any], *, source: str) -> ModelDescriptor:
        """Read and validate the content of a ``model.json``; ``source`` names it in errors."""
        document = _decode(text, source)
        version = document.get("schema")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ModelError(
                f"{source}: schema: this edgesr reads version {SCHEMA_VERSION}, got {show(version)}; update edgesr"
            )
        for problem in violations(document):
            raise ModelError(f"{source}: {problem}")
        descriptor = _build(document)
        for problem in disagreements(descriptor):
            raise ModelError(f"{source}: {problem}")
        return descriptor

    def to_json(self) -> str:
        """Write the content of ``model.json``: fields in a fixed order, without those at their default."""
        document = {"schema": SCHEMA_VERSION, **_plain(self)}
        try:
            return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"model {self.name}: not writable as JSON: {error}; use plain finite values") from None


_ALWAYS_WRITTEN = frozenset({"scale", "input_channels", "output_channels"})


def _decode(text: str | Mapping[str, Any], source: str) -> dict[str, Any]:
    try:
        document = json.loads(
            text if isinstance(text, str) else json.dumps(text, allow_nan=False),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ModelError(f"{source}: is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise ModelError(f"{source}: is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ModelError(f"{source}: must be a JSON object, got {show(document)}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {show(next(k for k in keys if keys.count(k) > 1))} appears twice")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _build(document: Mapping[str, Any]) -> ModelDescriptor:
    """Make the typed form of a document that satisfies the schema."""
    values = {key: value for key, value in document.items() if key != "schema"}
    values["parts"] = {name: Part(**part) for name, part in document["parts"].items()}
    values["controls"] = {name: _control(control) for name, control in document.get("controls", {}).items()}
    for key in ("scale", "input_channels", "output_channels", "receptive_field", "tile"):
        if values.get(key) is not None:
            values[key] = int(values[key])
    if "input" in document:
        values["input"] = _preprocessing(document["input"])
    if "output_range" in document:
        values["output_range"] = _floats(document["output_range"])
    if "size" in document:
        values["size"] = _size(document["size"])
    if values.get("uncertainty") is not None:
        values["uncertainty"] = Uncertainty.from_json(document["uncertainty"])
    if values.get("diffusion") is not None:
        values["diffusion"] = Diffusion.from_json(document["diffusion"])
    if values.get("labels") is not None:
        values["labels"] = tuple(document["labels"])
    if "prediction" in document:
        values["prediction"] = Prediction.from_json(document["prediction"])
    values["stages"] = tuple(document.get("stages", ()))
    values["quality"] = tuple(document.get("quality", ()))
    return ModelDescriptor(**values)


def _control(document: Mapping[str, Any]) -> Control:
    values = dict(document, default=_floats(document["default"]))
    if document.get("choices") is not None:
        values["choices"] = {name: _floats(vector) for name, vector in document["choices"].items()}
    return Control(**values)


def _preprocessing(document: Mapping[str, Any]) -> Preprocessing:
    values: dict[str, Any] = {key: _floats(document[key]) for key in ("range", "mean", "std") if key in document}
    if document.get("resize") is not None:
        values["resize"] = Resize.from_json(document["resize"])
    if document.get("crop") is not None:
        values["crop"] = tuple(int(side) for side in document["crop"])
    return Preprocessing(**{**document, **values})


def _size(document: Mapping[str, Any]) -> SizeRequirements:
    values = {key: int(document[key]) for key in ("multiple", "minimum") if key in document}
    fixed = document.get("fixed")
    return SizeRequirements(**values, fixed=None if fixed is None else (int(fixed[0]), int(fixed[1])))


def _floats(values: list[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _plain(value: object) -> Any:
    """Turn dataclasses, tuples and numpy scalars into plain JSON data, leaving out fields at their default."""
    if is_dataclass(value) and not isinstance(value, type):
        document = {}
        for entry in fields(value):
            item = getattr(value, entry.name)
            default = entry.default_factory() if entry.default_factory is not MISSING else entry.default
            if item != default or entry.name in _ALWAYS_WRITTEN:
                document[entry.name] = _plain(item)
        return document
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
