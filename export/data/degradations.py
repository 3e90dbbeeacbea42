"""The downscaling conventions the networks are trained for, on uint8 pictures, by the libraries that define them."""

import cv2
import numpy as np
from PIL import Image

MARGIN = 8
"""High-resolution pixels around a crop that reach its antialiased low-resolution picture."""


def downscale(image: np.ndarray, degradation: str, factor: int = 4) -> np.ndarray:
    """Shrink a uint8 ``(H, W)`` picture by ``factor`` as a user of cv2 or Pillow would; the result is rounded uint8."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    if degradation == "cubic":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    if degradation == "area":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if degradation == "antialiased":
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    raise ValueError(f"degradation must be cubic, area or antialiased, got {degradation!r}")


def bicubic(image: np.ndarray, factor: int = 4) -> np.ndarray:
    """Enlarge a uint8 ``(H, W)`` picture with ``cv2.INTER_CUBIC``, the baseline of every table."""
    height, width = image.shape
    return cv2.resize(image, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
