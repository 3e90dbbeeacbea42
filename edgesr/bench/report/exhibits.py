"""Pictures for a report: before, after, where they differ and where the model is unsure, as PNGs inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edgesr.bench.inputs import input_of
from edgesr.bench.pairs import PicturePair
from edgesr.errors import EdgesrError
from edgesr.image.convert import to_float
from edgesr.image.layout import Layout
from edgesr.image.picture import Metadata
from edgesr.image.png_write import PngEncoder
from edgesr.image.resample import upscale
from edgesr.pipelines.label_result import LabelResult
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array, FloatArray

SIDE = 480
"""Larger pictures are cut to their middle of this many pixels, so that pixels are shown and not their means."""
FULL_DIFFERENCE = 32.0
"""Grey levels of 255 in the strongest colour of a difference map."""
_BLUE, _WHITE, _RED = np.array([[33, 92, 168], [248, 248, 248], [190, 30, 45]], np.float32)
_SHADES = 24
"""Of a map: few enough that they compress, too many to be told apart."""
_HEAT_AT = (0.0, 0.25, 0.5, 0.75, 1.0)
_HEAT = np.array([[13, 8, 60], [96, 20, 120], [190, 55, 85], [250, 140, 40], [252, 250, 180]], np.float32)


@dataclass(frozen=True)
class Exhibit:
    """One restored picture of one row, as ``data:`` addresses of PNGs of one size."""

    row: int
    name: str
    width: int
    height: int
    is_cut: bool
    before: str
    """The input, enlarged bicubically; the picture that was labelled."""
    after: str
    """What the model made; the picture with what it found drawn on it."""
    reference: str | None = None
    difference: str | None = None
    """Of the result to the reference, or to the enlarged input where there is none; blue is darker, red brighter."""
    against: str = ""
    """What the difference is to: ``the reference`` or ``bicubic``."""
    uncertainty: str | None = None
    full_uncertainty: float = 0.0
    """Grey levels of 255 in the strongest colour of the uncertainty map."""
    names: tuple[str, str] = ("bicubic", "restored")
    """What ``before`` and ``after`` are, in a word each."""


def exhibit(
    row: int,
    name: str,
    low: Array,
    restored: Array,
    *,
    reference: Array | None = None,
    bound: FloatArray | None = None,
) -> Exhibit:
    """Make the pictures of ``low`` ``(h, w, C)`` and ``restored`` ``(H, W, C)``; ``bound`` ``(H, W)`` in [0, 1]."""
    scale = restored.shape[0] // low.shape[0]
    after = _rgb(restored)
    before = _rgb(low) if scale == 1 else np.clip(upscale(_rgb(low), scale), 0.0, 1.0)
    target = None if reference is None else _rgb(reference)
    signed = (after - (before if target is None else target)).mean(axis=2)
    cut = _middle(after.shape[0], after.shape[1])
    full = 0.0 if bound is None else max(float(np.percentile(bound, 99.5)) * 255.0, 1.0)
    return Exhibit(
        row=row,
        name=name,
        width=len(range(*cut[1].indices(after.shape[1]))),
        height=len(range(*cut[0].indices(after.shape[0]))),
        is_cut=max(after.shape[:2]) > SIDE,
        before=_address(before[cut]),
        after=_address(after[cut]),
        reference=None if target is None else _address(target[cut]),
        difference=_address(_diverging(signed[cut] * 255.0 / FULL_DIFFERENCE)),
        against="bicubic" if target is None else "the reference",
        uncertainty=None if bound is None else _address(_sequential(bound[cut] * 255.0 / full)),
        full_uncertainty=full,
    )


def collect(
    row: int,
    pipeline: Pipeline,
    pairs: Iterable[PicturePair],
    *,
    most: int = 2,
    note: Callable[[str], None] = lambda text: None,
) -> list[Exhibit]:
    """Show the first pictures that succeed, with the uncertainty where the model predicts one."""
    found: list[Exhibit] = []
    for pair in pairs:
        if len(found) >= most:
            break
        try:
            if isinstance(pipeline, PicturePipeline):
                found.append(_restored(row, pipeline, pair))
            else:
                found.append(_labelled(row, pair.name, pipeline(input_of(pipeline, pair))))
        except EdgesrError as error:
            note(f"{pair.name}: not shown in the report: {error}")
    return found


def _restored(row: int, pipeline: PicturePipeline, pair: PicturePair) -> Exhibit:
    low, high = pair.read(pipeline.scale)
    result = pipeline.restore(low, uncertainty=pipeline.descriptor.uncertainty is not None)
    return exhibit(row, pair.name, low, result.image, reference=high, bound=result.std)


def _labelled(row: int, name: str, result: LabelResult) -> Exhibit:
    """Show what was found on a picture, of a chain on the enlarged one; drawings may be larger by a whole factor."""
    drawn = _rgb(result.overlay())
    factor = drawn.shape[0] // result.picture.shape[0]
    picture = np.repeat(np.repeat(_rgb(result.picture), factor, axis=0), factor, axis=1)
    height, width = drawn.shape[:2]
    step = max(1, -(-max(height, width) // SIDE))
    before, after = picture[::step, ::step], drawn[::step, ::step]
    return Exhibit(
        row=row,
        name=name,
        width=before.shape[1],
        height=before.shape[0],
        is_cut=False,
        before=_address(before),
        after=_address(after),
        names=("picture", "found"),
    )


def _middle(height: int, width: int) -> tuple[slice, slice]:
    y, x = max(height - SIDE, 0) // 2, max(width - SIDE, 0) // 2
    return slice(y, y + min(SIDE, height)), slice(x, x + min(SIDE, width))


def _rgb(pixels: Array) -> FloatArray:
    """Return float32 RGB ``(H, W, 3)`` in [0, 1]; alpha is left out."""
    values = to_float(pixels if pixels.ndim == 3 else pixels[..., None])
    return values[..., :3] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, axis=2)


def _diverging(values: FloatArray) -> FloatArray:
    """Colour -1 blue, 0 white and 1 red."""
    strength = np.rint(np.clip(np.abs(values), 0.0, 1.0) * _SHADES)[..., None] / _SHADES
    end = np.where(values[..., None] < 0, _BLUE, _RED)
    return np.asarray((_WHITE * (1 - strength) + end * strength) / 255.0, np.float32)


def _sequential(values: FloatArray) -> FloatArray:
    """Colour 0 dark and 1 bright."""
    level = np.rint(np.clip(values, 0.0, 1.0) * _SHADES) / _SHADES
    channels = [np.interp(level, _HEAT_AT, column) for column in _HEAT.T]
    return np.asarray(np.stack(channels, axis=2) / 255.0, np.float32)


def _address(pixels: FloatArray) -> str:
    """Encode float32 RGB in [0, 1] as a PNG; grey pictures take one channel."""
    stored = np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)
    if (stored[..., :1] == stored).all():
        stored = stored[..., :1]
    file = io.BytesIO()
    height, width, channels = stored.shape
    layout = Layout(height, width, channels, np.dtype(np.uint8))
    encoder = PngEncoder(file, layout, Metadata(format="PNG"), level=9)
    encoder.write(stored)
    encoder.finish()
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
