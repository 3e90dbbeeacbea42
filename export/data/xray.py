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
from export.data.overlays import overlay
from export.models.resample import DEGRADATIONS

CANDIDATES = 4
"""Windows that a chosen crop is the steepest of."""


@dataclass(frozen=True)
class Mixture:
    """Probabilities of what a training crop is cut from and how it is shrunk; noise in grey levels of 255.

    Film edges, markers and wires are less than a hundredth of the pixels and most of the squared error: ``overlaid``
    crops come from pictures with drawn ones, ``chosen`` crops are the steepest of `CANDIDATES` windows. A few are
    enough: the mean of ``cxr-x4``, trained with shares of 0.3 and 0.4, gained 0.04 dB in 1350 steps with fewer.

    Detail that saw noise of up to 2 grey levels in a tenth of the crops drew a lattice on noisier pictures: trained
    2900 steps more with these values, the default of ``cxr-x4`` had a grid index of 1.96 on Hannover where it had 2.54.
    A run of as many steps with the values before, as a control, is missing.
    """

    cubic_256: float = 0.55
    area_256: float = 0.15
    native_512: float = 0.3
    degradations: tuple[float, float, float] = (0.5, 0.12, 0.38)
    noisy: float = 0.2
    largest_noise: float = 5.0
    overlaid: float = 0.1
    chosen: float = 0.05


class CropSampler:
    """Draw training crops from high-resolution pictures kept in memory as uint8; deterministic for a seed."""

    def __init__(self, pictures: Iterable[np.ndarray], mixture: Mixture, seed: int) -> None:
        native = list(pictures)
        draw = np.random.default_rng(seed)
        self._pools = [_pools(native), _pools([overlay(p, draw) for p in native])]
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
        pools = self._pools[int(random.random() < mixture.overlaid)]
        pool = pools[random.choice(3, p=(mixture.cubic_256, mixture.area_256, mixture.native_512))]
        picture = pool[random.integers(len(pool))]
        span = side * 4 + 2 * MARGIN
        windows = [self._window(picture, span) for _ in range(CANDIDATES if random.random() < mixture.chosen else 1)]
        wide = _turn(max(windows, key=_steepness), random.integers(8))
        kind = random.choice(3, p=mixture.degradations)
        trim = MARGIN // 4
        low = downscale(wide, DEGRADATIONS[kind])[trim:-trim, trim:-trim]
        if random.random() < mixture.noisy:
            noise = random.normal(0, random.uniform(0, mixture.largest_noise), low.shape)
            low = np.clip(np.rint(low + noise), 0, 255).astype(np.uint8)
        return low, wide[MARGIN:-MARGIN, MARGIN:-MARGIN], int(kind)

    def _window(self, picture: np.ndarray, span: int) -> np.ndarray:
        top, left = (self._random.integers(extent - span + 1) for extent in picture.shape)
        return picture[top : top + span, left : left + span]


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


def check_patients(data: Path) -> None:
    """Raise ValueError where a patient of ``cxr/train`` is among those that trained networks are judged on."""
    training = {patient(path.name) for path in (data / "cxr" / "train").glob("*.png")}
    for folder in ("val", "val_1024"):
        shared = training & {patient(path.name) for path in (data / "cxr" / folder).glob("*.png")}
        if shared:
            named = ", ".join(sorted(shared)[:3])
            raise ValueError(
                f"{len(shared)} patients of {data / 'cxr' / folder} are in cxr/train, too ({named}): figures would be "
                "those of pictures that were learned; take them out of one"
            )


def _pools(native: list[np.ndarray]) -> tuple[list[np.ndarray], ...]:
    """Return the pictures at 256 px by cv2 cubic, at 256 px by area, and as they are."""
    sides = (256, 256)
    return (
        [cv2.resize(p, sides, interpolation=cv2.INTER_CUBIC) for p in native],
        [cv2.resize(p, sides, interpolation=cv2.INTER_AREA) for p in native],
        native,
    )


def _steepness(window: np.ndarray) -> int:
    """Return the sum of squared differences between neighbours."""
    wide = window.astype(np.int32)
    return int(sum(np.square(np.diff(wide, axis=axis)).sum() for axis in (0, 1)))


def _turn(image: np.ndarray, symmetry: int) -> np.ndarray:
    """Apply one of the eight symmetries of the square."""
    image = np.rot90(image, symmetry % 4)
    return np.ascontiguousarray(image[:, ::-1] if symmetry >= 4 else image)
