"""Pictures cut from the two in ``examples/``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


def crops(side: int, count: int = 8) -> list[np.ndarray]:
    """Return squares of several sizes, places and colours, brought to ``side``: uint8 ``(side, side, 3)``."""
    rng, found = np.random.default_rng(0), []
    for index in range(count):
        name = "chest_xray.png" if index % 4 == 0 else "astronaut.png"
        with Image.open(EXAMPLES / name) as image:
            whole = image.convert("RGB")
        length = int(rng.integers(96, min(whole.size) + 1))
        left, top = (int(rng.integers(0, n - length + 1)) for n in whole.size)
        cut = whole.crop((left, top, left + length, top + length)).resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.roll(np.asarray(cut), index % 3, axis=2)
        found.append(np.ascontiguousarray(255 - pixels if index % 2 else pixels))
    return found


def crop_tensor(side: int, count: int = 8) -> torch.Tensor:
    """Return the same as float32 ``(count, 3, side, side)`` in [0, 1]."""
    return torch.from_numpy(np.stack(crops(side, count))).permute(0, 3, 1, 2) / 255


def write_crops(folder: Path, side: int, count: int = 8) -> Path:
    """Write them as PNG files and return the folder."""
    folder.mkdir(exist_ok=True)
    for index, pixels in enumerate(crops(side, count)):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder
