"""What all families of networks that label pictures share on the command line and on the way to a package."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from edgesr.cli.label_options import add_input_options, label_fields
from edgesr.errors import UsageError
from edgesr.model.package import ModelPackage
from export.exporting.labelling import package_labels
from export.exporting.weights import TASK_CONTAINERS, TASK_WRAPPERS, State, read_weights
from export.families.restoration import add_common_arguments, check_output, descriptor_fields
from export.say import say


@dataclass(frozen=True)
class Built:
    """A network with its weights, and what its package says that it cannot tell itself."""

    network: nn.Module
    title: str
    descriptor: Mapping[str, Any] = field(default_factory=dict)


Build = Callable[[State, argparse.Namespace, str], Built]
"""Make the network of the weights in a file; the last argument names the file in errors."""
Package = Callable[[Built, argparse.Namespace, dict[str, Any]], ModelPackage]


def add_label_arguments(parser: argparse.ArgumentParser, task: str) -> None:
    """Add the options of every family; pictures are described as for ``edgesr pack``."""
    add_common_arguments(parser)
    group = parser.add_argument_group("pictures and classes")
    add_input_options(group)
    group.add_argument("--classes", type=int, metavar="N", help="refuse weights of another number of classes")
    parser.set_defaults(task=task)


def execute(arguments: argparse.Namespace, build: Build, package: Package | None = None) -> None:
    """Read the weights, build the network and write its package; print the package's path."""
    check_output(arguments.output)
    fields = descriptor_fields(arguments.descriptor)
    try:
        asked = label_fields(arguments)
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from None
    state, place = read_weights(
        arguments.weights, key=arguments.key, containers=TASK_CONTAINERS, wrappers=TASK_WRAPPERS
    )
    say(f"{len(state)} tensors from {place}")
    built = build(state, arguments, str(arguments.weights))
    parameters = sum(parameter.numel() for parameter in built.network.parameters())
    say(f"{built.title}, {parameters:,} parameters")
    described = {"description": f"{built.title}, {parameters:,} parameters."}
    asked.pop("task")
    name = {"name": arguments.name} if arguments.name else {}
    document = {**described, **built.descriptor, **fields, **asked, **name}
    document["input"] = _input(built.descriptor, fields, asked)
    if "labels" not in document:
        say("no --labels given: classes are shown by their numbers")
    built.network.eval()
    (package or _package)(built, arguments, document)
    print(arguments.output)


def _package(built: Built, arguments: argparse.Namespace, document: dict[str, Any]) -> ModelPackage:
    return package_labels(
        built.network,
        arguments.output,
        arguments.task,
        document,
        classes=arguments.classes,
        target=arguments.target,
        say=say,
    )


def _input(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Join what the family, the descriptor file and the options say; another resizing takes the crop with it."""
    joined: dict[str, Any] = {}
    for source in sources:
        given = source.get("input", {})
        if not isinstance(given, dict):
            raise UsageError("--descriptor: input must be an object")
        if "resize" in given:
            joined.pop("crop", None)
        joined.update(given)
    return joined
