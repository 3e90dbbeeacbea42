"""Draw the side-by-side pictures of a model card from held-out radiographs."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from export.data.degradations import bicubic, downscale
from export.evaluation import Case, Enlarger

SIDE, CROP = 256, 80
"""Pixels of a panel, and of the square in it that the lower row shows enlarged."""


def comparison(enlarge: Enlarger, case: Case, fidelity: float, factor: float) -> np.ndarray:
    """Return a uint8 BGR sheet: bicubic, fidelity 1, default, fidelity 0, truth, bound; below, a square of each.

    The last column is the bound of the absolute error (``factor`` times the predicted scale) above the true error,
    both from 0 (black) to 40 grey levels (yellow). ``case.high`` is 256 x 256.
    """
    low = downscale(case.high, "cubic")
    settings = [enlarge(low, value) for value in (1.0, fidelity, 0.0)]
    error = np.abs(settings[1][0].astype(np.float64) - case.high)
    pictures = [bicubic(low), *(image for image, _ in settings), case.high]
    names = ["bicubic", "fidelity 1", f"default ({fidelity:g})", "fidelity 0", "truth"]
    return sheet(dict(zip(names, pictures, strict=True)), factor * settings[1][1], error)


def sheet(pictures: Mapping[str, np.ndarray], bound: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a uint8 BGR sheet of pictures ``(256, 256)`` by name, the truth last; below, a square of each.

    The last column is the bound of the absolute error above the true error, both in grey levels.
    """
    names = [*pictures, "90 % bound / true error"]
    top = [cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) for picture in pictures.values()] + [_heat(bound)]
    y, x = _busiest(list(pictures.values())[-1])
    square = (slice(y, y + CROP), slice(x, x + CROP))
    lower = [_enlarge(picture[square]) for picture in top[:-1]] + [_heat(error)]
    for panel in top[:-1]:
        cv2.rectangle(panel, (x, y), (x + CROP, y + CROP), (80, 200, 255), 1)
    return np.vstack([np.hstack([_label(name) for name in names]), np.hstack(top), np.hstack(lower)])


def write(path: Path, sheet: np.ndarray) -> None:
    """Write a sheet as JPEG."""
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 90])


def _heat(values: np.ndarray) -> np.ndarray:
    return cv2.applyColorMap(np.clip(values * (255 / 40), 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)


def _enlarge(panel: np.ndarray) -> np.ndarray:
    return cv2.resize(panel, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def _label(text: str) -> np.ndarray:
    strip = np.full((20, SIDE, 3), 255, np.uint8)
    return cv2.putText(strip, text, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)


def _busiest(picture: np.ndarray) -> tuple[int, int]:
    """Return the corner of the square with the largest variance after a 3 x 3 high-pass, away from the border."""
    values = picture.astype(np.float32)
    detail = np.square(values - cv2.GaussianBlur(values, (0, 0), 2))
    sums = cv2.blur(np.minimum(detail, 200), (CROP, CROP), anchor=(0, 0))[24 : SIDE - CROP - 24, 24 : SIDE - CROP - 24]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(y) + 24, int(x) + 24
