"""The masks that people drew: one grey or coloured picture for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgesr.bench.pairs import read_picture
from edgesr.errors import InputError
from edgesr.image.convert import is_grey
from edgesr.image.source import shown
from edgesr.pipelines.sources import find_pictures
from edgesr.types import Array

_ENDINGS = ("", "_mask", "-mask", "_label", "_seg")


class Masks:
    """Masks in a folder, matched to pictures by name; ``_mask`` and such at the end do not count.

    Pixels are class numbers, or those of ``values`` in the order of the classes. A mask of black and white for two
    classes needs no ``values``. Colours are those that Pascal VOC gives to class numbers.
    """

    def __init__(self, folder: str | Path, classes: int, values: Sequence[int] | None = None) -> None:
        self._folder = Path(folder)
        self._classes = classes
        self._values = values
        self._files = {path.stem: path for path in find_pictures(folder)}

    def read(self, picture: Path) -> Array:
        """Return the classes of a picture's pixels, uint8 or uint16 ``(H, W)``."""
        path = next((self._files[picture.stem + e] for e in _ENDINGS if picture.stem + e in self._files), None)
        if path is None:
            raise InputError(f"{shown(self._folder)} holds no mask of {picture.name}")
        pixels = read_picture(path)
        if pixels.shape[2] >= 3 and not is_grey(pixels):
            return _from_colors(pixels[..., :3], path)
        grey: Array = pixels[..., 0]
        values = self._values
        if values is None and self._classes == 2 and set(np.unique(grey)) <= {0, 255}:
            values = (0, 255)
        if values is None:
            return grey
        mask = np.full(grey.shape, np.iinfo(grey.dtype).max, grey.dtype)
        for number, value in enumerate(values):
            mask[grey == value] = number
        unknown = np.setdiff1d(grey, values)
        if unknown.size:
            raise InputError(f"{shown(path)}: holds the value {unknown[0]}, which is none of {list(values)}")
        return mask


def resized(mask: Array, height: int, width: int) -> Array:
    """Return a mask of another size, each pixel that of the nearest old one."""
    if mask.shape == (height, width):
        return mask
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.intp)
        for new, old in zip((height, width), mask.shape, strict=True)
    )
    return np.asarray(mask[rows][:, columns])


def voc_colors() -> Array:
    """Return the colour of each class number in Pascal VOC's masks, uint8 ``(256, 3)``."""
    numbers = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colors


def _from_colors(pixels: Array, path: Path) -> Array:
    packed = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    known = voc_colors().astype(np.int64) @ np.array([65536, 256, 1])
    order = np.argsort(known, kind="stable")
    places = np.minimum(np.searchsorted(known[order], packed), len(order) - 1)
    mask = order[places]
    # VOC draws the outlines that do not count in its last colour.
    if not np.array_equal(known[mask], packed):
        raise InputError(f"{shown(path)}: is coloured in other colours than Pascal VOC's; use class numbers in grey")
    return np.asarray(mask.astype(np.uint8))
