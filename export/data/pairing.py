"""Pairs for the latent diffusion: a split without shared patients, four augmentations, aligned crops."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from export.data.degradations import downscale
from export.data.xray import patient

SCALE = 4
SHARES = (0.7, 0.2, 0.1)
"""Of the patients: training, validation, test."""
_GREATEST_HASH = 2**64


@dataclass(frozen=True)
class Augmentation:
    """How often a training pair is changed, and by what; each kind is drawn by itself."""

    share: float = 0.7
    flip: float = 0.5
    turn: float = 0.5
    resized: float = 0.5
    cutout: float = 0.3


def split(names: Iterable[str], shares: Sequence[float] = SHARES) -> tuple[list[str], list[str], list[str]]:
    """Return the names for training, validation and test, sorted; no patient is in two of them.

    A patient's set follows from a hash of the number before the name's first underscore alone: a picture that is
    added later moves no other picture. The shares of the pictures are met as well as the patients allow.
    """
    sets: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in sorted(names):
        digest = hashlib.sha256(patient(name).encode()).digest()
        place = int.from_bytes(digest[:8], "big") / _GREATEST_HASH
        sets[0 if place < shares[0] else 1 if place < shares[0] + shares[1] else 2].append(name)
    return sets


class PairSampler:
    """Draw aligned crops of low and high resolution from large pictures in memory; deterministic for a seed.

    High resolution is a picture of ``extent`` pixels, made from the large one by cv2 cubic without antialiasing as in
    the paper; low resolution is the same a second time. A resized crop is taken from the large picture at another size.
    """

    def __init__(
        self, pictures: Iterable[np.ndarray], seed: int, extent: int = 256, augmentation: Augmentation | None = None
    ) -> None:
        self._large = list(pictures)
        self._high = [cv2.resize(p, (extent, extent), interpolation=cv2.INTER_CUBIC) for p in self._large]
        self._augmentation = augmentation or Augmentation()
        self._random = np.random.default_rng(seed)

    @property
    def pictures(self) -> list[np.ndarray]:
        """Return the whole high-resolution pictures, uint8."""
        return self._high

    @property
    def state(self) -> Any:
        """Return the state of the random generator, for a checkpoint."""
        return self._random.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self._random.bit_generator.state = state

    def batch(self, size: int, side: int) -> tuple[Tensor, Tensor]:
        """Return low ``(size, 1, side, side)`` and high resolution, four times that, float32 in [0, 1]."""
        pairs = [self.pair(side) for _ in range(size)]
        low, high = (torch.from_numpy(np.stack([pair[i] for pair in pairs]))[:, None].float() / 255 for i in range(2))
        return low, high

    def pair(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one crop of low resolution, ``side`` pixels wide, and its high resolution, both uint8."""
        random, chosen = self._random, self._augmentation
        index = int(random.integers(len(self._high)))
        is_changed = random.random() < chosen.share
        flip, turn, resized, cutout = (
            is_changed and random.random() < chance
            for chance in (chosen.flip, chosen.turn, chosen.resized, chosen.cutout)
        )
        high = self._resized(index, side * SCALE) if resized else self._aligned(index, side * SCALE)
        if flip:
            high = high[:, ::-1]
        if turn:
            high = np.rot90(high, int(random.integers(1, 4)))
        high = np.ascontiguousarray(high)
        low = downscale(high, "cubic")
        if cutout:
            height, width = (int(v) for v in random.integers(side // 8, side // 3 + 1, 2))
            top, left = int(random.integers(side - height + 1)), int(random.integers(side - width + 1))
            low[top : top + height, left : left + width] = 0
            high[top * SCALE : (top + height) * SCALE, left * SCALE : (left + width) * SCALE] = 0
        return low, high

    def _aligned(self, index: int, span: int) -> np.ndarray:
        """Cut where the whole picture's low resolution has whole pixels, so that the crop's is a part of it."""
        picture = self._high[index]
        top, left = (int(self._random.integers((side - span) // SCALE + 1)) * SCALE for side in picture.shape)
        return picture[top : top + span, left : left + span]

    def _resized(self, index: int, span: int) -> np.ndarray:
        """Cut a square of one to two times ``span`` from the large picture and shrink it to ``span``."""
        picture = self._large[index]
        wide = int(self._random.integers(span, min(2 * span, *picture.shape) + 1))
        top, left = (int(self._random.integers(side - wide + 1)) for side in picture.shape)
        cut = picture[top : top + wide, left : left + wide]
        return cv2.resize(cut, (span, span), interpolation=cv2.INTER_CUBIC)
