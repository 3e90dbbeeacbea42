"""``edgesr pack``: a model package from an ONNX file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgesr.cli.diffusion_files import is_diffusion, packed_diffusion
from edgesr.cli.label_options import label_fields
from edgesr.cli.output import note, result, result_json
from edgesr.cli.run import expectations
from edgesr.cli.triton_options import check_triton_options
from edgesr.errors import InputError, UsageError
from edgesr.image.source import open_source
from edgesr.model import ModelPackage, pack
from edgesr.model.chain import write_chain
from edgesr.pipelines.load import cpu_probe, open_model
from edgesr.pipelines.place import chained

_MAX_BYTES = 1 << 20


def execute(arguments: argparse.Namespace) -> int:
    """Write the package and print where it is."""
    check_triton_options(arguments)
    if arguments.triton is not None:
        from edgesr.cli.pack_triton import pack_triton

        return pack_triton(arguments)
    output = Path(arguments.output)
    fields = _descriptor(arguments.descriptor)
    name: str = arguments.name or fields.get("name") or output.stem
    version: str = arguments.model_version or fields.get("version") or "1.0.0"
    both = chained(arguments.onnx) if arguments.onnx is not None else None
    if (arguments.fused or arguments.size) and both is None:
        raise UsageError("--fused and --size are for RESTORATION+TASK, two packages with one + between them")
    if arguments.set and not arguments.fused:
        raise UsageError(
            "--set fixes a control in a graph; give --fused or --triton too, or set it when you run the model"
        )
    if is_diffusion(arguments, arguments.onnx):
        package = packed_diffusion(arguments, output, name=name, version=version, fields=fields)
    elif both is not None:
        package = _chain(both, arguments, output, fields)
    else:
        package = _network(arguments, output, name, version, _joined(fields, label_fields(arguments)))
    if arguments.json:
        result_json({"package": str(output), "digest": package.digest, "notes": package.notes})
        return 0
    result(str(output))
    for text in package.notes:
        note(text)
    return 0


def _network(
    arguments: argparse.Namespace, output: Path, name: str, version: str, fields: dict[str, Any]
) -> ModelPackage:
    return pack(
        Path(arguments.onnx),
        output,
        name=name,
        version=version,
        overrides=fields,
        expects=expectations(arguments),
        probe=cpu_probe,
    )


def _chain(both: tuple[str, str], arguments: argparse.Namespace, output: Path, fields: dict[str, Any]) -> ModelPackage:
    if fields or expectations(arguments) or label_fields(arguments):
        raise UsageError("a chain is described by its two packages; give only -o, --name and --model-version with it")
    restore, task = open_model(both[0]), open_model(both[1])
    name, version = arguments.name or output.stem, arguments.model_version or "1.0.0"
    size = None if arguments.size is None else (arguments.size[0], arguments.size[1])
    if not arguments.fused:
        if size is not None:
            from edgesr.pipelines.size_chain import sized_task

            task = sized_task(restore, task, size)
        return write_chain(output, restore, task, name=name, version=version)
    from edgesr.pipelines.fuse_chain import fuse_chain

    return fuse_chain(
        output, restore, task, name=name, version=version, size=size, controls=dict(arguments.set or []), say=note
    )


def _joined(fields: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the descriptor file with those of the options, which come first."""
    joined = {**fields, **given}
    if isinstance(fields.get("input"), dict) and "input" in given:
        joined["input"] = {**fields["input"], **given["input"]}
    return joined


def _descriptor(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with open_source(path) as file:
            fields = json.loads(file.read(_MAX_BYTES))
    except InputError as error:
        raise UsageError(f"--descriptor {error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--descriptor {path}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"--descriptor {path}: must hold one JSON object")
    return fields
