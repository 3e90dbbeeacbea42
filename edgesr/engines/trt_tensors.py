"""What a TensorRT engine says about its tensors and profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from edgesr.engines.base import TensorSpec
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError, ModelError

Shape: TypeAlias = tuple[int, ...]
Profile: TypeAlias = Mapping[str, tuple[Shape, Shape, Shape]]


def read_tensors(api: TensorRt, engine: Any, file_name: str) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Return the inputs and outputs in the engine's order; raise ModelError for what buffers cannot hold."""
    inputs: dict[str, TensorSpec] = {}
    outputs: dict[str, TensorSpec] = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_location(name) != api.trt.TensorLocation.DEVICE:
            raise ModelError(
                f"{file_name}: tensor {name!r} holds a shape on the host, which edgesr does not pass; make the sizes "
                "part of the network"
            )
        if engine.get_tensor_format(name) != api.trt.TensorFormat.LINEAR:
            raise ModelError(f"{file_name}: tensor {name!r} is not row-major; build it with linear inputs and outputs")
        dtype = api.dtype(engine.get_tensor_dtype(name), name)
        side = inputs if engine.get_tensor_mode(name) == api.trt.TensorIOMode.INPUT else outputs
        side[name] = TensorSpec(name, tuple(int(size) for size in engine.get_tensor_shape(name)), dtype)
    return inputs, outputs


def read_profiles(engine: Any, inputs: Mapping[str, TensorSpec]) -> tuple[Profile, ...]:
    """Return (least, best, greatest) shape of each dynamic input, by profile."""
    profiles = []
    for index in range(max(1, engine.num_optimization_profiles)):
        ranges: dict[str, tuple[Shape, Shape, Shape]] = {}
        for name, spec in inputs.items():
            if -1 in spec.shape:
                least, best, greatest = engine.get_tensor_profile_shape(name, index)
                ranges[name] = (_shape(least), _shape(best), _shape(greatest))
        profiles.append(ranges)
    return tuple(profiles)


def choose_profile(profiles: tuple[Profile, ...], shapes: Mapping[str, Shape], present: int, file_name: str) -> int:
    """Return the profile to run ``shapes`` with: one built for just them, else the present one, else the tightest."""
    fitting = [index for index, profile in enumerate(profiles) if not misfits(profile, shapes)]
    if not fitting:
        name = misfits(profiles[0], shapes)[0]
        least, _, greatest = profiles[0][name]
        more = f" (and {len(profiles) - 1} other profiles)" if len(profiles) > 1 else ""
        raise BackendError(
            f"{file_name} takes {name!r} from {least} to {greatest}{more}, got {shapes[name]}; build it for this shape"
        )
    exact = [i for i in fitting if all(shapes[name] == best for name, (_, best, _) in profiles[i].items())]
    if present in (exact or fitting):
        return present
    return min(exact or fitting, key=lambda i: sum(math.prod(most) for _, _, most in profiles[i].values()))


def misfits(profile: Profile, shapes: Mapping[str, Shape]) -> list[str]:
    """Name the inputs whose shape lies outside ``profile``."""
    return [
        name
        for name, (least, _, most) in profile.items()
        if not all(a <= n <= b for a, n, b in zip(least, shapes[name], most, strict=True))
    ]


def _shape(dims: Any) -> Shape:
    return tuple(int(size) for size in dims)
