"""Model packages: what a model says about itself, how it is stored, where it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesr.model.descriptor import (
    Control,
    ModelDescriptor,
    Part,
    Preprocessing,
    SizeRequirements,
)
from edgesr.model.diffusion import Diffusion
from edgesr.model.package import ModelPackage, open_package, verify, write_package
from edgesr.model.prediction import Prediction, Resize
from edgesr.model.registry import DEFAULT_MODEL, ModelInfo, add, find, list_models, remove
from edgesr.model.uncertainty import ErrorLink, NoiseRule, Uncertainty

if TYPE_CHECKING:
    from edgesr.model.describe import describe_onnx
    from edgesr.model.onnx_file import inspect_onnx
    from edgesr.model.packing import pack

# What looks into ONNX files is imported at first use.
_HOMES = {
    "describe_onnx": "edgesr.model.describe",
    "inspect_onnx": "edgesr.model.onnx_file",
    "pack": "edgesr.model.packing",
}

__all__ = [
    "DEFAULT_MODEL",
    "Control",
    "Diffusion",
    "ErrorLink",
    "ModelDescriptor",
    "ModelInfo",
    "ModelPackage",
    "NoiseRule",
    "Part",
    "Prediction",
    "Preprocessing",
    "Resize",
    "SizeRequirements",
    "Uncertainty",
    "add",
    "describe_onnx",
    "find",
    "inspect_onnx",
    "list_models",
    "open_package",
    "pack",
    "remove",
    "verify",
    "write_package",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgesr.model' has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    return value
