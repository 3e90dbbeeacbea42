"""Crops that another network has enlarged already: what it answered is a target without the noise of the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.models.resample import SCALE

BORDER = 4
"""Low-resolution pixels along a window's border that no crop is cut from: the teacher saw nothing beyond it."""


class TaughtSampler:
    """Draw crops from the windows of files that ``python -m export.teach_cxr`` wrote; deterministic for a seed.

    ``noisy`` of the crops get noise of up to ``largest_noise`` grey levels, which their teacher did not see.
    """

    def __init__(self, files: list[Path], seed: int, *, noisy: float = 0, largest_noise: float = 0) -> None:
        self._sets = [dict(np.load(file)) for file in files]
        self._sizes = np.cumsum([len(windows["kinds"]) for windows in self._sets])
        self._random = np.random.default_rng(seed)
        self._noisy, self._largest_noise = noisy, largest_noise

    @property
    def state(self) -> Any:
        """Return the state of the random generator, for a checkpoint."""
        return self._random.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self._random.bit_generator.state = state

    def batch(self, size: int, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return low resolution ``(size, 1, side, side)``, the truth four times that, kinds, and the teacher's answer.

        Pictures are in [0, 1]; ``kinds`` is int64 ``(size,)``, an index into `DEGRADATIONS`.
        """
        crops = [self._crop(side) for _ in range(size)]
        low, high, taught = (torch.from_numpy(np.stack([crop[i] for crop in crops]))[:, None] for i in range(3))
        return low.float() / 255, high.float() / 255, torch.tensor([crop[3] for crop in crops]), taught.float()

    def _crop(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        random = self._random
        number = int(random.integers(self._sizes[-1]))
        chosen = int(np.searchsorted(self._sizes, number, side="right"))
        windows, index = self._sets[chosen], number - (int(self._sizes[chosen - 1]) if chosen else 0)
        height, width = windows["low"].shape[1:]
        top, left = (int(random.integers(BORDER, extent - BORDER - side + 1)) for extent in (height, width))
        symmetry = int(random.integers(8))
        low, high, taught = (
            turn(windows[name][index, top * n : (top + side) * n, left * n : (left + side) * n], symmetry)
            for name, n in (("low", 1), ("high", SCALE), ("taught", SCALE))
        )
        if random.random() < self._noisy:
            low = add_noise(low, random, self._largest_noise)
        return low, high, taught, int(windows["kinds"][index])


def add_noise(low: np.ndarray, random: np.random.Generator, largest: float) -> np.ndarray:
    """Return uint8 pixels with normal noise of a strength drawn up to ``largest`` grey levels."""
    noise = random.normal(0, random.uniform(0, largest), low.shape)
    noisy: np.ndarray = np.clip(np.rint(low + noise), 0, 255).astype(np.uint8)
    return noisy


def turn(image: np.ndarray, symmetry: int) -> np.ndarray:
    """Apply one of the eight symmetries of the square to ``(H, W)``."""
    image = np.rot90(image, symmetry % 4)
    return np.ascontiguousarray(image[:, ::-1] if symmetry >= 4 else image)
