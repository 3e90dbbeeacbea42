"""The NIH ChestX-ray pool: reading, the training mixture of pictures and degradations, and random crops."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from export.data.degradations import MARGIN, downscale
from export.models.resample import DEGRADATIONS


@dataclass(frozen=True)
class Mixture:
    """Probabilities of what a training crop is cut from and how it is shrunk; noise in grey levels of 255."""

    cubic_256: float = 0.5
    area_256: float = 0.15
    native_512: float = 0.35
    degradations: tuple[float, float, float] = (0.5, 0.12, 0.38)
    noisy: float = 0.1
    largest_noise: float = 2.0


class CropSampler:
    """Draw training crops from high-resolution pictures kept in memory as uint8; deterministic for a seed."""

    def __init__(self, pictures: Iterable[np.ndarray], mixture: Mixture, seed: int) -> None:
        native = list(pictures)
        self._pools = (
            [cv2.resize(p, (256, 256), interpolation=cv2.INTER_CUBIC) for p in native],
            [cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA) for p in native],
            native,
        )
        self._mixture = mixture
        self._random = np.random.default_rng(seed)

    @property
    def state(self) -> Any:
        """Return the state of the random generator, for a checkpoint."""
        return self._random.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self._random.bit_generator.state = state

    def batch(self, size: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return low resolution ``(size, 1, side, side)``, high resolution four times that, both in [0, 1], and kinds.

        ``kinds`` is int64 ``(size,)``, an index into `DEGRADATIONS`.
        """
        crops = [self._crop(side) for _ in range(size)]
        low, high = (torch.from_numpy(np.stack([crop[i] for crop in crops]))[:, None].float() / 255 for i in range(2))
        return low, high, torch.tensor([crop[2] for crop in crops])

    def _crop(self, side: int) -> tuple[np.ndarray, np.ndarray, int]:
        random, mixture = self._random, self._mixture
        pool = self._pools[random.choice(3, p=(mixture.cubic_256, mixture.area_256, mixture.native_512))]
        picture = pool[random.integers(len(pool))]
        span = side * 4 + 2 * MARGIN
        top, left = (random.integers(extent - span + 1) for extent in picture.shape)
        wide = _turn(picture[top : top + span, left : left + span], random.integers(8))
        kind = random.choice(3, p=mixture.degradations)
        trim = MARGIN // 4
        low = downscale(wide, DEGRADATIONS[kind])[trim:-trim, trim:-trim]
        if random.random() < mixture.noisy:
            noise = random.normal(0, random.uniform(0, mixture.largest_noise), low.shape)
            low = np.clip(np.rint(low + noise), 0, 255).astype(np.uint8)
        return low, wide[MARGIN:-MARGIN, MARGIN:-MARGIN], int(kind)


def read_grey(path: Path) -> np.ndarray:
    """Read a picture as uint8 ``(H, W)``."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(f"{path} is not a readable picture")
    return image


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """Read every PNG of a folder, by file name in sorted order."""
    return {path.name: read_grey(path) for path in sorted(folder.glob("*.png"))}


def patient(name: str) -> str:
    """Return the patient of an NIH file name ``PPPPPPPP_NNN.png``."""
    return name.partition("_")[0]


def _turn(image: np.ndarray, symmetry: int) -> np.ndarray:
    """Apply one of the eight symmetries of the square."""
    image = np.rot90(image, symmetry % 4)
    return np.ascontiguousarray(image[:, ::-1] if symmetry >= 4 else image)
