"""Write models into the model repository of a Triton Inference Server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from edgesr.compile.triton_config import ServedModel
from edgesr.errors import UsageError
from edgesr.model.atomic import replacing_folder, saying_why
from edgesr.model.descriptor import ModelDescriptor

CONFIG = "config.pbtxt"
LABELS = "labels.txt"
NETWORK_FILE = "1/model.onnx"
PLAN_FILE = "1/model.plan"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_place(root: Path, names: tuple[str, ...], *, force: bool) -> None:
    """Raise UsageError where the models ``names`` cannot be written, or are there and may not be replaced."""
    if root.exists() and not root.is_dir():
        raise UsageError(f"--triton {root}: is a file; give the folder of a model repository")
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(f"--name {name!r}: a model of a server is named with letters, digits, . _ and -")
        place = root / name
        if place.exists() and not force:
            raise UsageError(f"{place}: is there already; replace it with --force, or give another --name")
        if place.exists() and not (place / CONFIG).is_file():
            raise UsageError(f"{place}: is no model of a server, having no {CONFIG}; give another --name")


def write_model(root: Path, model: ServedModel, files: Mapping[str, bytes]) -> Path:
    """Write one model's folder, complete or not at all; ``files`` are its contents beside ``config.pbtxt``."""
    place = root / model.name
    with saying_why(place):
        root.mkdir(parents=True, exist_ok=True)
        with replacing_folder(place) as folder:
            (folder / "1").mkdir()
            (folder / CONFIG).write_text(model.config(), encoding="utf-8")
            for name, content in files.items():
                (folder / name).write_bytes(content)
    return place


def about(descriptor: ModelDescriptor, digest: str, controls: Mapping[str, str]) -> dict[str, str]:
    """Return what the parameters of ``config.pbtxt`` say about a model: where it is from, and how it is set."""
    known = {
        "edgesr_model": f"{descriptor.name} {descriptor.version}",
        "edgesr_digest": digest,
        "task": descriptor.task,
        "channel_order": descriptor.input.color,
        "size_multiple": str(descriptor.size.multiple) if descriptor.size.multiple > 1 else "",
        **_bound(descriptor),
        **{f"control_{name}": value for name, value in controls.items()},
        "licence": descriptor.licence,
        "intended_use": descriptor.intended_use,
    }
    return {name: text for name, text in known.items() if text}


def _bound(descriptor: ModelDescriptor) -> dict[str, str]:
    known = descriptor.uncertainty
    if known is None:
        return {}
    rules = {kernel: asdict(rule) for kernel, rule in known.noise.items()}
    return {"uncertainty_factor": f"{known.factor:g}", "uncertainty_noise": json.dumps(rules) if rules else ""}


def readme(descriptor: ModelDescriptor, parameters: Mapping[str, str], lines: tuple[str, ...]) -> bytes:
    """Return ``README.txt``: what the model is, how it is set, what it may be used for."""
    paragraphs = [
        f"{descriptor.name} {descriptor.version}",
        descriptor.description,
        "\n".join(lines),
        "\n".join(f"{name}: {text}" for name, text in parameters.items() if name not in ("licence", "intended_use")),
        f"Licence\n{descriptor.licence or 'the package names none'}",
        f"Intended use\n{descriptor.intended_use or 'the package says nothing about it'}",
        f"Training data\n{descriptor.training_data}" if descriptor.training_data else "",
    ]
    return ("\n\n".join(text for text in paragraphs if text) + "\n").encode("utf-8")
