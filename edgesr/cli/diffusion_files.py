"""The files of a latent diffusion as the command line names them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesr.errors import UsageError
from edgesr.model import ModelPackage

_FILES = ("unet", "decoder", "schedule")
_OF_DIFFUSION = (
    *_FILES, "encoder", "steps", "start_timestep", "latent_scale", "latent_shift", "trained_size", "degradation",
    "role",
)  # fmt: skip


def is_diffusion(arguments: argparse.Namespace, other: str | None) -> bool:
    """Tell whether these files are named, and not ``other``; raise UsageError for a mixture or a half."""
    of_diffusion = [name for name in _OF_DIFFUSION if getattr(arguments, name) is not None]
    if other is not None:
        if of_diffusion:
            raise UsageError(
                f"--{of_diffusion[0].replace('_', '-')} is for the files of a latent diffusion; leave out it or {other}"
            )
        return False
    missing = [name for name in _FILES if getattr(arguments, name) is None]
    if not of_diffusion:
        what = "a package" if arguments.command == "tune" else "an ONNX file"
        raise UsageError(f"give {what}, or --encoder, --unet, --decoder and --schedule of a latent diffusion")
    if missing:
        raise UsageError(f"a latent diffusion is packed with --{missing[0]} too")
    if arguments.layout == "NHWC":
        raise UsageError("a latent diffusion takes NCHW; export it so")
    return True


def packed_diffusion(
    arguments: argparse.Namespace, output: Path, *, name: str, version: str, fields: Mapping[str, Any]
) -> ModelPackage:
    """Pack them, with further fields of model.json."""
    from edgesr.pipelines.pack_diffusion import DiffusionFiles, Said, pack_diffusion

    files = DiffusionFiles(
        Path(arguments.unet),
        Path(arguments.decoder),
        Path(arguments.schedule),
        None if arguments.encoder is None else Path(arguments.encoder),
    )
    said = Said(
        scale=arguments.scale,
        range=arguments.range,
        color=arguments.channel_order,
        steps=arguments.steps,
        start_timestep=arguments.start_timestep,
        latent_scale=arguments.latent_scale,
        latent_shift=arguments.latent_shift,
        trained_size=arguments.trained_size,
        degradation=arguments.degradation,
        roles=dict(arguments.role or ()),
    )
    return pack_diffusion(
        files,
        output,
        name=name,
        version=version,
        said=said,
        overrides={key: value for key, value in fields.items() if key not in ("schema", "name", "version", "task")},
    )
