"""Model packages: what a model says about itself, how it is stored, where it is found."""

from edgesr.model.describe import describe_onnx
from edgesr.model.descriptor import (
    Control,
    ModelDescriptor,
    Part,
    Preprocessing,
    SizeRequirements,
    Uncertainty,
)
from edgesr.model.onnx_file import inspect_onnx
from edgesr.model.package import ModelPackage, open_package, verify, write_package
from edgesr.model.registry import DEFAULT_MODEL, ModelInfo, add, find, list_models, remove

__all__ = [
    "DEFAULT_MODEL",
    "Control",
    "ModelDescriptor",
    "ModelInfo",
    "ModelPackage",
    "Part",
    "Preprocessing",
    "SizeRequirements",
    "Uncertainty",
    "add",
    "describe_onnx",
    "find",
    "inspect_onnx",
    "list_models",
    "open_package",
    "remove",
    "verify",
    "write_package",
]
