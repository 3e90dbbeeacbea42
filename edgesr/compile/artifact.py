"""Write a typed network as ONNX file or model package that says how it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgesr.compile.embed_io import describe_embedded
from edgesr.compile.gate import Verdict
from edgesr.compile.typed import Typed
from edgesr.errors import UsageError
from edgesr.model import ModelDescriptor, ModelPackage, write_package
from edgesr.model.atomic import replacing, saying_why
from edgesr.model.rules import NETWORK
from edgesr.model.writer import ARCHIVE_SUFFIXES

_LONGEST_NAME = 64


def write_typed(path: Path, package: ModelPackage, typed: Typed, record: Mapping[str, Any]) -> Path:
    """Write ``NAME.onnx``, ``NAME.edgesr`` or a folder, complete or not at all; ``record`` goes into the descriptor."""
    if path.suffix.lower() == ".onnx":
        return write_onnx(path, typed)
    if path.suffix and path.suffix not in ARCHIVE_SUFFIXES:
        raise UsageError(f"{path}: name the result .onnx, .edgesr, or without a suffix for a folder")
    descriptor = describe_typed(package, typed, record)
    files: dict[str, Path | bytes] = {descriptor.parts[NETWORK].file: typed.graph.bytes()}
    others = [part.file for name, part in package.descriptor.parts.items() if name != NETWORK]
    files.update({file: package.read(file) for file in others})
    if not package.is_bare:
        files.update({name: package.read(name) for name in _kept(package)})
    return write_package(path, descriptor, files)


def write_parts(
    path: Path, package: ModelPackage, parts: Mapping[str, Typed], kind: str, record: Mapping[str, Any]
) -> Path:
    """Write ``NAME.edgesr`` or a folder with some of its networks in another form; ``kind`` is that of the whole.

    What became of each network stands under ``parts`` of the descriptor's ``precision``; ``record`` beside it.
    """
    check_place(path, package)
    source = package.descriptor
    described = replace(
        source,
        name=_named(source.name, kind),
        files={name: source.files[name] for name in _kept(package)},
        precision={
            "kind": kind,
            "made_from": package.digest,
            "parts": {name: typed.document() for name, typed in parts.items()},
            **record,
        },
    )
    files: dict[str, Path | bytes] = {name: package.read(name) for name in _kept(package)}
    files |= {
        part.file: parts[name].graph.bytes() if name in parts else package.read(part.file)
        for name, part in source.parts.items()
    }
    return write_package(path, described, files)


def check_place(path: Path, package: ModelPackage) -> None:
    """Raise UsageError for the name of a file that holds one network."""
    if path.suffix and path.suffix not in ARCHIVE_SUFFIXES:
        count = len(package.descriptor.parts)
        raise UsageError(f"{path}: would hold {count} networks; name it .edgesr, or give a folder")


def write_onnx(path: Path, typed: Typed) -> Path:
    """Write the network alone."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; choose another name for the ONNX file")
    with saying_why(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(typed.graph.bytes())
    return path


def describe_typed(package: ModelPackage, typed: Typed, record: Mapping[str, Any]) -> ModelDescriptor:
    """Return the descriptor of the FP32 package for a typed network: named after its precision, with what was done."""
    source = package.descriptor
    dtype = "float16" if typed.options.io == "fp16" and source.input.dtype == "float32" else source.input.dtype
    described = replace(
        source,
        name=_named(source.name, typed.precision),
        files={} if package.is_bare else {name: source.files[name] for name in _kept(package)},
        input=replace(source.input, dtype=dtype),
        precision={**typed.document(), "made_from": package.digest, **record},
    )
    return described if typed.embedded is None else describe_embedded(described, typed.embedded)


def _named(name: str, kind: str) -> str:
    suffix = "" if kind == "fp32" else f"-{kind}"
    return name[: _LONGEST_NAME - len(suffix)] + suffix


def _kept(package: ModelPackage) -> list[str]:
    """List the further files that go along: all but external weights, which now lie in the network itself."""
    return [name for name in package.descriptor.files if not name.endswith(".data")]


def gate_record(verdict: Verdict) -> dict[str, Any]:
    """Return the accuracy against FP32 as plain JSON data; a PSNR of null is that of identical pictures."""
    name, worst = verdict.worst
    finite = [d.psnr for _, d in verdict.pictures if math.isfinite(d.psnr)]
    lowest_ssim = min(d.ssim for _, d in verdict.pictures)
    return {
        "pictures": len(verdict.pictures),
        "worst_picture": name,
        "min_psnr": worst.psnr if math.isfinite(worst.psnr) else None,
        "mean_psnr": sum(finite) / len(finite) if finite else None,
        "min_ssim": None if any(math.isnan(d.ssim) for _, d in verdict.pictures) else lowest_ssim,
        "max_abs": max(d.max_abs for _, d in verdict.pictures),
        **({} if verdict.agreement is None else {"agreement": asdict(verdict.agreement)}),
    }
