"""The one size that the task of a chain gets pictures in, where its package leaves that to the pictures."""

from __future__ import annotations

from dataclasses import replace

from edgesr.errors import InputError, UsageError
from edgesr.model.chain import check_stages
from edgesr.model.package import ModelPackage
from edgesr.model.prediction import Resize
from edgesr.pipelines.label_profile import canvas
from edgesr.pipelines.prepare import place


def sized_task(restore: ModelPackage, task: ModelPackage, size: tuple[int, int]) -> ModelPackage:
    """Return ``task`` for what ``restore`` makes of pictures of ``size``, ``(height, width)``.

    What is restored to another size is resized to that. TensorRT compiles the network for it. Raise UsageError where
    the task brings every picture to a size of its own, and where pictures of ``size`` are too small for it.
    """
    first, second = restore.descriptor, task.descriptor
    check_stages(first, second, f"{first.name}+{second.name}")
    own = canvas(second)
    if own is not None:
        raise UsageError(
            f"model {second.name} brings every picture to {own[0]}x{own[1]} already, whatever {first.name} gives; "
            "leave --size out"
        )
    try:
        placement = place(second, size[0] * first.scale, size[1] * first.scale)
    except InputError as error:
        raise UsageError(f"--size {size[0]}x{size[1]}, enlarged {first.scale} times: {error}") from None
    rule = replace(second.input.resize or Resize("exact", ()), rule="exact", size=placement.resized, longest=None)
    return replace(task, descriptor=replace(second, input=replace(second.input, resize=rule)))
