"""An exported graph against PyTorch on real pictures, per output and at sizes it was not traced at."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn

from edgesr.errors import AccuracyError
from export.exporting.onnx_graph import opened

PICTURES = ("astronaut.png", "chest_xray.png")
TOLERANCE = 1e-4
"""Largest difference as a fraction of the largest value of the output: rounding of float32 in another order."""
_FOLDER = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Parity:
    """How far one output is from PyTorch on one picture."""

    output: str
    picture: str
    size: tuple[int, int]
    """``(height, width)`` of the input in pixels."""
    largest_difference: float
    largest_value: float

    @property
    def relative(self) -> float:
        """Return the largest difference as a fraction of the largest value."""
        return self.largest_difference / self.largest_value

    def row(self) -> dict[str, Any]:
        """Return the entry of ``quality`` in model.json."""
        return {"set": "parity with PyTorch", **asdict(self), "size": list(self.size), "relative": self.relative}


def read_picture(name: str, size: tuple[int, int], channels: int) -> Tensor:
    """Return a picture of ``examples/`` cut or shrunk to ``(h, w)``: float32 ``(1, channels, h, w)`` in [0, 1]."""
    h, w = size
    with Image.open(_FOLDER / name) as image:
        picture = image.convert("L" if channels == 1 else "RGB")
    if h > picture.height or w > picture.width or min(h, w) < 64:
        picture = picture.resize((w, h), Image.Resampling.BICUBIC)
    else:
        left, top = (picture.width - w) // 2, (picture.height - h) // 2
        picture = picture.crop((left, top, left + w, top + h))
    values = torch.from_numpy(np.atleast_3d(np.asarray(picture, np.float32)) / 255).permute(2, 0, 1)[None]
    if channels in (1, 3):
        return values.contiguous()
    return torch.cat([values[:, [i % values.shape[1]]] for i in range(channels)], 1)


def measure_parity(
    network: nn.Module,
    model: onnx.ModelProto,
    outputs: Sequence[str],
    *,
    sizes: Sequence[tuple[int, int]],
    channels: int,
    limits: tuple[float, float],
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> list[Parity]:
    """Compare every output on every picture and size; raise AccuracyError where PyTorch and the graph differ.

    Pixels are brought from [0, 1] to ``limits``, then ``mean`` is subtracted and divided by ``std``.
    """
    found, run = [], opened(model)
    for size in sizes:
        for name in PICTURES:
            image = read_picture(name, size, channels) * (limits[1] - limits[0]) + limits[0]
            image = (image - _by_channel(mean, 0.0)) / _by_channel(std, 1.0)
            try:
                found += compared(network, run, outputs, image, (name, size))
            except AccuracyError as error:
                if len(sizes) == 1:
                    raise
                raise AccuracyError(
                    f"{error}; a network that computes with the size of the picture may need a fixed one (--tile N, or "
                    "size=)"
                ) from None
    return found


def compared(
    network: nn.Module,
    run: Callable[[Tensor], list[Tensor]],
    outputs: Sequence[str],
    image: Tensor,
    where: tuple[str, tuple[int, int]],
) -> list[Parity]:
    """Compare every output for one input of the graph that ``run`` runs; ``where`` names the picture and its size."""
    expected = _eager(network, image)
    try:
        got = run(image)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise AccuracyError(f"the exported graph does not run at {where[1][0]} x {where[1][1]}: {reason}") from None
    return [_compared(output, *where, a, b) for output, a, b in zip(outputs, got, expected, strict=True)]


def _by_channel(values: Sequence[float], default: float) -> Tensor:
    return torch.tensor(list(values) or [default]).reshape(1, -1, 1, 1)


def _eager(network: nn.Module, image: Tensor) -> list[Tensor]:
    with torch.inference_mode():
        result = network(image.clone())  # some networks write into what they are given
    return [result] if isinstance(result, Tensor) else list(result)


def _compared(output: str, picture: str, size: tuple[int, int], got: Tensor, expected: Tensor) -> Parity:
    where = f"{output} on {picture} at {size[0]} x {size[1]}"
    if got.shape != expected.shape:
        raise AccuracyError(f"{where}: the graph gives {list(got.shape)}, PyTorch {list(expected.shape)}")
    if not bool(torch.isfinite(expected).all()):
        raise AccuracyError(f"{where}: PyTorch itself gives NaN or infinite values; these weights are no use")
    if float(expected.std()) == 0:
        raise AccuracyError(f"{where}: PyTorch gives one constant, which proves nothing; were the weights trained?")
    parity = Parity(output, picture, size, float((got - expected).abs().max()), float(expected.abs().max()))
    if not parity.relative <= TOLERANCE:
        raise AccuracyError(
            f"{where}: differs from PyTorch by {parity.largest_difference:.3g}, "
            f"{parity.relative:.3g} of its largest value; at most {TOLERANCE:g} is allowed"
        )
    return parity
