"""What a network says about itself when it is run in PyTorch: scale, channels, sizes and receptive field."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgesr.errors import ModelError, UsageError
from edgesr.model.probing import whole_scale
from edgesr.model.receptive_field import pieces_fit
from edgesr.types import Array
from export.exporting.files import short
from export.exporting.modules import results_of

MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 3, 6, 12, 24, 48, 96, 7, 14, 28)
MINIMA = (4, 8, 16, 32)
LONGEST = 1024
"""Sides, in pixels, up to which the receptive field is measured."""
_PHASES = (0, 1, 3)
"""Places where a change is tried: a strided network looks further from some pixels than from others."""


@dataclass(frozen=True)
class Derived:
    """Facts that are measured, not typed."""

    scale: int
    input_channels: int
    output_channels: int
    multiple: int
    minimum: int
    receptive_field: int | None
    """Radius in input pixels; None for a field without bound, beyond ``LONGEST`` pixels, or where pieces do not fit."""


def check_evaluation_mode(network: nn.Module) -> None:
    """Raise UsageError for a network whose output depends on its training mode or on the rest of the batch."""
    for name, module in network.named_modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if norm and module.running_mean is None:
            raise UsageError(
                f"the batch norm {name!r} has no running statistics, so that its result depends on the other pictures "
                "of a batch; train it with track_running_stats=True"
            )
        if module.training and (norm or isinstance(module, nn.modules.dropout._DropoutNd)):
            raise UsageError(
                f"{type(module).__name__} {name!r} is in training mode; call network.eval() before the export"
            )
    if any(module.training for module in network.modules()):
        raise UsageError("the network is in training mode; call network.eval() before the export")


def input_channels(network: nn.Module, size: tuple[int, int] | None = None) -> int:
    """Return the number of channels of the first layer that fits a picture; raise UsageError when none tells."""
    h, w = size or (64, 64)
    reasons = []
    for count in (3, 1, 4):
        try:
            shape = list(_run(network, torch.full((1, count, h, w), 0.5)).shape)
        except UsageError:
            raise
        except Exception as error:  # whatever the network raises, it may take another number of channels
            reasons.append(f"of {count} channels: {short(error)}")
        else:
            if _is_picture(shape, (h, w)):
                return count
            raise UsageError(
                f"the network makes {shape} of a picture [1, {count}, {h}, {w}]; its first result must be a picture "
                "(N, C, H * scale, W * scale) of a whole scale"
            )
    raise UsageError(
        f"the network takes no picture of {h} x {w} pixels, {'; '.join(reasons)}; "
        "give another size (--tile, or size=), or channels="
    )


def derive(
    network: nn.Module, channels: int, fixed: tuple[int, int] | None = None, *, multiple: int | None = None
) -> Derived:
    """Measure a network that takes float32 ``(1, channels, H, W)`` and returns the picture as its first output.

    ``multiple`` is what sides have to be multiples of, where the network itself would take others.
    """
    if fixed is not None:
        try:
            shape = _shape_of(network, fixed, channels)
        except Exception as error:  # whatever the network raises
            raise ModelError(f"the network does not run at {fixed[0]} x {fixed[1]} pixels: {short(error)}") from None
        if shape is None:
            raise ModelError("the network returns no picture (1, C, H, W) of a whole scale")
        scale = whole_scale(fixed, (shape[2], shape[3]))
        return Derived(scale, channels, shape[1], 1, 1, None)
    multiple, scale, planes = _multiple(network, channels, (multiple,) if multiple else MULTIPLES)
    minimum = next((n for n in (-(-m // multiple) * multiple for m in MINIMA) if _fits(network, n, n, channels)), 64)
    strip = -(-minimum // multiple) * multiple
    radius = _radius(network, channels, scale, multiple, strip)
    return Derived(scale, channels, planes, multiple, 1 if minimum <= MINIMA[0] else minimum, radius)


def _multiple(network: nn.Module, channels: int, candidates: Sequence[int]) -> tuple[int, int, int]:
    problem: Exception | None = None
    for multiple in candidates:
        odd = max(64 // multiple - 1, 1) | 1
        size = odd * multiple, (odd + 2) * multiple
        try:
            shape = _run(network, torch.full((1, channels, *size), 0.5)).shape
            return multiple, whole_scale(size, (shape[2], shape[3])), shape[1]
        except Exception as error:  # whatever the network raises, the next multiple may work
            problem = problem or error
    raise ModelError(f"the network runs at none of the picture sizes that were tried: {short(problem)}")


def _radius(network: nn.Module, channels: int, scale: int, multiple: int, strip: int) -> int | None:
    """Return how far a pixel reaches, along height and along width, in thin strips that double in length.

    A NaN at one pixel marks exactly the outputs that depend on it, whatever the weights are.
    """

    def run(picture: Array) -> Array:
        image = torch.from_numpy(picture.astype(np.float32)).expand(1, channels, *picture.shape)
        return _run(network, image)[0].permute(1, 2, 0).double().numpy()

    side = max(64 // multiple, 3) * multiple
    while side <= LONGEST:
        with _plain_convolutions():
            radii = [
                _reach(network, size, axis, channels=channels, scale=scale, multiple=multiple)
                for size, axis in (((side, strip), 2), ((strip, side), 3))
            ]
        known = [radius for radius in radii if radius is not None]
        if len(known) == len(radii):
            return max(known) if pieces_fit(run, scale, multiple, (0.0, 1.0), max(known)) else None
        side *= 2
    return None


def _reach(
    network: nn.Module, size: tuple[int, int], axis: int, *, channels: int, scale: int, multiple: int
) -> int | None:
    side, radius = size[axis - 2], 0
    for phase in dict.fromkeys((*_PHASES, multiple - 1)):
        position = side // multiple // 2 * multiple + phase
        image = torch.full((1, channels, *size), 0.5)
        image.select(axis, position).fill_(torch.nan)
        marked = torch.isnan(_run(network, image))[0].any(0).any(3 - axis).reshape(side, scale).any(1)
        reached = torch.cat([torch.nonzero(marked).flatten(), torch.tensor([position])])
        low, high = int(reached.min()), int(reached.max())
        if low == 0 or high == side - 1:
            return None
        radius = max(radius, position - low, high - position)
    return radius


def _fits(network: nn.Module, h: int, w: int, channels: int) -> bool:
    return _shape(network, (h, w), channels) is not None


def _shape(network: nn.Module, size: Sequence[int], channels: int) -> tuple[int, ...] | None:
    try:
        return _shape_of(network, size, channels)
    except Exception:  # whatever the network raises, it does not take this size
        return None


def _shape_of(network: nn.Module, size: Sequence[int], channels: int) -> tuple[int, ...] | None:
    shape = tuple(_run(network, torch.full((1, channels, *size), 0.5)).shape)
    return shape if _is_picture(shape, size) else None


def _is_picture(shape: Sequence[int], size: Sequence[int]) -> bool:
    return len(shape) == 4 and shape[0] == 1 and not shape[2] % size[0] and not shape[3] % size[1]


def _run(network: nn.Module, image: Tensor) -> Tensor:
    with torch.inference_mode():
        result = network(image)
    return results_of(result)[0]


@contextlib.contextmanager
def _plain_convolutions() -> Iterator[None]:
    """Turn off oneDNN, whose fast convolutions spread a NaN over whole blocks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield
