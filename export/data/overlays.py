"""Film edges, side markers and wires drawn on radiographs, so that training sees enough of them."""

import math
import string

import cv2
import numpy as np

FINER = 4
"""Shapes are drawn this many times finer than the picture and averaged, as a detector does."""

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_ITALIC,
)
_WORDS = ("L", "R", "AP", "PA", "PORTABLE", "ERECT", "SUPINE", "UPRIGHT", "MOBILE")


def overlay(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw what films carry beside the patient on a uint8 ``(H, W)`` radiograph; return a new uint8 picture."""
    image = picture.astype(np.float32)
    for probability, most, shape in ((0.8, 3, _margin), (0.7, 3, _marker), (0.5, 3, _wire), (0.5, 4, _polygon)):
        if random.random() < probability:
            for _ in range(random.integers(1, most + 1)):
                mask = np.zeros((picture.shape[0] * FINER, picture.shape[1] * FINER), np.uint8)
                shape(mask, random)
                image = _blend(image, mask, random)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _blend(image: np.ndarray, mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Replace or shift the grey under the mask; some shapes are as blurred as film is."""
    share = cv2.resize(mask, image.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    if random.random() < 0.3:
        share = cv2.GaussianBlur(share, (0, 0), random.uniform(0.4, 1.2))
    choice = random.random()
    if choice < 0.35:
        grey: float | np.ndarray = random.uniform(0, 25)
    elif choice < 0.65:
        grey = random.uniform(215, 255)
    else:
        grey = image + random.choice((-1, 1)) * random.uniform(20, 150)
    return np.clip(image + share * (grey - image), 0, 255)


def _margin(mask: np.ndarray, random: np.random.Generator) -> None:
    """Everything beyond a nearly upright line close to one side."""
    height, width = mask.shape
    span = 2 * max(height, width)
    angle = random.integers(4) * math.pi / 2 + (math.radians(random.normal(0, 4)) if random.random() < 0.6 else 0)
    depth = random.uniform(0.25, 0.49)
    normal = np.array([math.cos(angle), math.sin(angle)])
    along = np.array([-normal[1], normal[0]])
    foot = np.array([width / 2, height / 2]) + normal * depth * np.array([width, height])
    corners = [foot + along * span, foot - along * span, foot - along * span + normal * span]
    _fill(mask, np.array([*corners, foot + along * span + normal * span]))


def _marker(mask: np.ndarray, random: np.random.Generator) -> None:
    """Letters, upright or turned, sometimes cut out of a disc."""
    word = _WORDS[random.integers(len(_WORDS))] if random.random() < 0.6 else _letters(random)
    scale = random.uniform(0.25, 2.0 if len(word) < 3 else 0.7) * FINER
    thickness = max(1, round(scale * random.uniform(0.8, 3)))
    font = _FONTS[random.integers(len(_FONTS))]
    (wide, high), _ = cv2.getTextSize(word, font, scale, thickness)
    centre = random.uniform((0, 0), mask.shape[::-1])
    drawn = np.zeros_like(mask)
    start = (round(centre[0] - wide / 2), round(centre[1] + high / 2))
    cv2.putText(drawn, word, start, font, scale, 255, thickness)
    if random.random() < 0.3:
        disc = np.zeros_like(mask)
        cv2.circle(disc, (round(centre[0]), round(centre[1])), round(max(wide, high) * 0.8), 255, -1)
        drawn = disc - cv2.bitwise_and(disc, drawn)
    if random.random() < 0.5:
        turn = cv2.getRotationMatrix2D(tuple(centre), random.uniform(-180, 180), 1)
        drawn = cv2.warpAffine(drawn, turn, drawn.shape[::-1])
    np.maximum(mask, drawn, out=mask)


def _wire(mask: np.ndarray, random: np.random.Generator) -> None:
    """A smooth curve of constant thickness through four random points."""
    points = random.uniform(-0.1, 1.1, (4, 2)) * mask.shape[::-1]
    t = np.linspace(0, 1, 120)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    curve = np.rint(weights @ points).astype(np.int32)
    cv2.polylines(mask, [curve], False, 255, round(random.uniform(1, 7) * FINER))


def _polygon(mask: np.ndarray, random: np.random.Generator) -> None:
    """Between three and six corners around a point."""
    centre = random.uniform((0, 0), mask.shape[::-1])
    radius = random.uniform(0.02, 0.2) * min(mask.shape)
    angles = np.sort(random.uniform(0, 2 * math.pi, random.integers(3, 7)))
    lengths = radius * random.uniform(0.5, 1, len(angles))
    _fill(mask, centre + np.column_stack([np.cos(angles), np.sin(angles)]) * lengths[:, None])


def _fill(mask: np.ndarray, corners: np.ndarray) -> None:
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255)


def _letters(random: np.random.Generator) -> str:
    return "".join(random.choice(list(string.ascii_uppercase + string.digits), random.integers(1, 9)))
