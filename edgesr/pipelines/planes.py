"""Grey, colour and alpha pictures through networks that take one or three channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesr.errors import ModelError
from edgesr.image.resample import upscale
from edgesr.model.descriptor import ModelDescriptor
from edgesr.types import FloatArray

Run = Callable[[FloatArray], FloatArray]
"""float32 ``(h, w, c)`` to ``(h * scale, w * scale, c)``, or ``c + 1`` channels with the error scale last."""

# ITU-R BT.601 full range, the YCbCr of JPEG (JFIF 1.02, section 7).
_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float32
)
_TO_RGB = np.linalg.inv(_TO_YCBCR).astype(np.float32)


def check_channels(descriptor: ModelDescriptor) -> None:
    """Raise ModelError unless the network maps one channel to one or three channels to three."""
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels not in ((1, 1), (3, 3)):
        raise ModelError(
            f"model {descriptor.name} maps {channels[0]} channels to {channels[1]}; "
            "edgesr restores pictures with networks that map 1 to 1 or 3 to 3"
        )


def run_planes(
    pixels: FloatArray, run: Run, descriptor: ModelDescriptor, *, with_scale: bool, further: int = 0
) -> FloatArray:
    """Run float32 ``(h, w, C)``, C in grey, grey+alpha, RGB, RGBA, and return as many channels (one more with_scale).

    ``further`` is the number of channels of further outputs, which come last: of several colour planes their mean.

    A one-channel network takes each colour plane by itself, or the luma alone where it was trained on luma
    (``color: y``; chroma is then enlarged bicubically). A three-channel network takes grey as three equal channels.
    Alpha is one more grey picture. The error scale is the largest of the colour planes'.
    """
    channels = pixels.shape[2]
    colors = channels - 1 if channels in (2, 4) else channels
    color, alpha = pixels[..., :colors], pixels[..., colors:]
    behind = int(with_scale) + further
    if descriptor.input_channels == 3:
        results = [_through_three(color, run, descriptor, behind)]
    elif descriptor.input.color == "y" and colors == 3:
        results = [_luma(color, run, descriptor, behind)]
    elif channels == 1:
        return run(color)
    else:
        results = [run(color[..., i : i + 1]).copy() for i in range(colors)]
    if len(results) == 1 and channels == colors:
        return results[0]
    images = [result[..., : result.shape[2] - behind] for result in results]
    if channels > colors:
        grey = _through_three if descriptor.input_channels == 3 else _through_one
        images.append(grey(alpha, run, descriptor, behind)[..., :1])
    rest = [result[..., result.shape[2] - behind :] for result in results]
    if with_scale:
        images.append(np.maximum.reduce([part[..., :1] for part in rest]))
    if further:
        images.append(np.mean([part[..., int(with_scale) :] for part in rest], axis=0, dtype=np.float32))
    return np.concatenate(images, axis=2)


def _through_one(grey: FloatArray, run: Run, descriptor: ModelDescriptor, behind: int) -> FloatArray:
    return run(grey)


def _through_three(color: FloatArray, run: Run, descriptor: ModelDescriptor, behind: int) -> FloatArray:
    if color.shape[2] == 1:
        result = run(np.repeat(color, 3, axis=2))
        grey = result[..., :3].mean(axis=2, keepdims=True, dtype=np.float32)
        return np.concatenate([grey, result[..., 3:]], axis=2) if behind else grey
    if descriptor.input.color != "bgr":
        return run(color)
    result = run(color[..., ::-1])
    return np.concatenate([result[..., 2::-1], result[..., 3:]], axis=2)


def _luma(color: FloatArray, run: Run, descriptor: ModelDescriptor, behind: int) -> FloatArray:
    ycbcr = color @ _TO_YCBCR.T
    result = run(ycbcr[..., :1])
    chroma = upscale(ycbcr[..., 1:], descriptor.scale).astype(np.float32, copy=False)
    rgb = np.concatenate([result[..., :1], chroma], axis=2) @ _TO_RGB.T
    return np.concatenate([rgb, result[..., 1:]], axis=2) if behind else rgb
