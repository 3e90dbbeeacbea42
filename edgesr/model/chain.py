"""Chains: a package that holds the packages of a restoration and of a task that sees the restored picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import ModelError, UsageError
from edgesr.model.content import sha256
from edgesr.model.descriptor import ModelDescriptor, Part
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.model.package import ModelPackage, declared_files, open_package, verify, write_package
from edgesr.model.rules import DESCRIPTOR_FILE
from edgesr.model.storage import Storage

RESTORE, TASK = "restore", "task"
"""Folders of the two packages inside the chain's."""


def stages(package: ModelPackage) -> tuple[ModelPackage, ModelPackage]:
    """Open the two packages inside a chain: the restoration and the task."""
    opened = []
    for stage in package.descriptor.stages:
        content = package.read(f"{stage}/{DESCRIPTOR_FILE}")
        source = f"{package.path}/{stage}/{DESCRIPTOR_FILE}"
        descriptor = ModelDescriptor.from_json(content.decode("utf-8", "replace"), source=source)
        storage = _Inside(package.storage, f"{stage}/")
        declared, outer = declared_files(descriptor), declared_files(package.descriptor)
        for file, digest in declared.items():
            if outer.get(f"{stage}/{file}") != digest:
                raise ModelError(f"{source}: {file} is not the file that the chain declares; write the chain again")
        opened.append(ModelPackage(descriptor, package.path, sha256([content]), storage))
    check_stages(opened[0].descriptor, opened[1].descriptor, str(package.path))
    return opened[0], opened[1]


def check_stages(first: ModelDescriptor, second: ModelDescriptor, source: str) -> None:
    """Refuse what is no restoration in front of a task."""
    if first.task not in ("restore", "latent-diffusion"):
        raise ModelError(f"{source}: the first model of a chain must make pictures; {first.name} has task {first.task}")
    if second.task not in LABEL_TASKS:
        tasks = ", ".join(LABEL_TASKS)
        raise ModelError(
            f"{source}: the second model of a chain must have task {tasks}; {second.name} has {second.task}"
        )


def write_chain(
    path: str | Path, restore: ModelPackage, task: ModelPackage, *, name: str, version: str
) -> ModelPackage:
    """Write one package that holds two as their descriptors describe them, verify it and open it."""
    check_stages(restore.descriptor, task.descriptor, str(path))
    parts: dict[str, Part] = {}
    contents: dict[str, Path | bytes] = {}
    for stage, package in ((RESTORE, restore), (TASK, task)):
        if package.is_bare:
            raise UsageError(f"{package.path}: is a bare ONNX file; make a package of it with edgesr pack first")
        contents[f"{stage}/{DESCRIPTOR_FILE}"] = package.descriptor.to_json().encode("utf-8")
        for file in declared_files(package.descriptor):
            contents[f"{stage}/{file}"] = package.read(file)
        for part, entry in package.descriptor.parts.items():
            parts[f"{stage}.{part}"] = Part(f"{stage}/{entry.file}", entry.sha256, entry.inputs, entry.outputs)
    inside = {part.file for part in parts.values()}
    document = {
        "schema": 1,
        "name": name,
        "version": version,
        "task": "chain",
        "parts": {part: json.loads(json.dumps(vars(entry))) for part, entry in parts.items()},
        "scale": restore.descriptor.scale,
        "stages": [RESTORE, TASK],
        "files": dict.fromkeys(sorted(contents.keys() - inside), "0" * 64),
        "description": f"{restore.descriptor.name} {restore.descriptor.version} in front of {task.descriptor.name} "
        f"{task.descriptor.version}",
    }
    descriptor = ModelDescriptor.from_json(document, source=str(path))
    package = open_package(write_package(path, descriptor, contents))
    verify(package)
    stages(package)
    return package


@dataclass(frozen=True)
class _Inside:
    """The files below one folder of another storage."""

    outer: Storage
    prefix: str

    def sizes(self) -> Mapping[str, int]:
        sizes = self.outer.sizes()
        return {name.removeprefix(self.prefix): n for name, n in sizes.items() if name.startswith(self.prefix)}

    def path(self, file: str) -> Path | None:
        return self.outer.path(self.prefix + file)

    def chunks(self, file: str) -> Iterator[bytes]:
        return self.outer.chunks(self.prefix + file)
