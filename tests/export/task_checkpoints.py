"""Seeded checkpoints of networks that label pictures, and pictures to label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.export.seeded import seeded

EXAMPLES = Path(__file__).parents[2] / "examples"


def photo(h: int, w: int) -> np.ndarray:
    """Return the middle of an example photograph, uint8 ``(h, w, 3)``, enlarged where it is smaller."""
    with Image.open(EXAMPLES / "astronaut.png") as image:
        whole = image.convert("RGB")
    if h > whole.height or w > whole.width:
        return np.asarray(whole.resize((w, h), Image.Resampling.BICUBIC))
    left, top = (whole.width - w) // 2, (whole.height - h) // 2
    return np.asarray(whole.crop((left, top, left + w, top + h)))


def varied(network: nn.Module, head: nn.Module, gain: float) -> nn.Module:
    """Return the network with seeded weights and a head whose scores differ as those of a trained one do."""
    seeded(network)
    with torch.no_grad():
        head.weight.mul_(gain)
    return network


def lines(path: Path, count: int) -> str:
    """Write a file with ``count`` names and return its path."""
    path.write_text("".join(f"class {i}\n" for i in range(count)))
    return str(path)
