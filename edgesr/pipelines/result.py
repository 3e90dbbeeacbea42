"""What a pipeline returns for one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.errors import InputError
from edgesr.image import Metadata, Picture, write
from edgesr.image.convert import check_pixels, to_float
from edgesr.image.measurement import colors_of, residual
from edgesr.image.provenance import joined, provenance_text, residual_text
from edgesr.image.resample import KERNELS, Kernel, downscale
from edgesr.model.descriptor import ModelDescriptor
from edgesr.pipelines.convention import Convention, check_convention
from edgesr.types import Array, FloatArray


@dataclass(frozen=True)
class Result:
    """One restored picture with what is known about it."""

    image: Array
    """uint8, uint16 or float32 like the input, ``(H, W, C)`` in the pipeline's colour order, or ``(H, W)`` for it."""
    std: FloatArray | None
    """Predicted bound of the absolute error, float32 ``(H, W)`` in [0, 1]; None unless asked for."""
    timings: Mapping[str, float]
    """Milliseconds: ``pre``, ``h2d``, ``infer``, ``d2h``, ``post`` and ``total``."""
    meta: Mapping[str, Any]
    """``source``, ``model``, ``version``, ``scale``, ``tile``, ``device`` and the value of every control."""
    source: Array = field(repr=False)
    """The input that was restored, in the same form as ``image``."""
    metadata: Metadata = field(repr=False)
    descriptor: ModelDescriptor = field(repr=False)
    """The model that made it."""
    extra: Mapping[str, FloatArray] = field(default_factory=dict, repr=False)
    """What the network gives beside the picture, by name, float32 ``(H, W, C)``; empty unless asked for."""

    @property
    def consistency(self) -> float | None:
        """RMS difference between the downscaled result and the input, in 8-bit grey levels.

        Of the downscalers that the model inverts, the one that fits best counts, or the one that the user named. None
        where the model names none.
        """
        image, source = to_float(_three_axes(self.image)), to_float(_three_axes(self.source))
        residuals = [
            downscale(image, self.descriptor.scale, kernel) - source
            for kernel in named_kernels(self.descriptor, self.meta["controls"])
        ]
        return min((float(np.sqrt(np.mean(np.square(r, dtype=np.float64)))) * 255.0 for r in residuals), default=None)

    @property
    def residual(self) -> float | None:
        """As ``consistency``, but only what clipping and rounding of the input do not explain."""
        kernels = named_kernels(self.descriptor, self.meta["controls"])
        if not kernels:
            return None
        source = check_pixels(self.source)
        colors = colors_of(source)
        return residual(_three_axes(self.image)[..., :colors], source[..., :colors], self.descriptor.scale, kernels)

    @property
    def convention(self) -> Convention | None:
        """Whether the input looks like what the model was made for; None where its package does not say."""
        return check_convention(self.descriptor, _three_axes(self.source))

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the picture with the metadata of its source and what made it; the suffix gives the format.

        ``options`` are those of edgesr.image.write. A generative result says how far it is from its input, too.
        """
        image = _three_axes(self.image)
        if self.meta.get("color") == "bgr" and image.shape[2] >= 3:
            image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=2)
        target = Path(path)
        if not target.suffix:
            raise InputError(f"{target}: give a suffix that names the format, e.g. {target.name}.png")
        meta = self.meta
        text = provenance_text(meta["model"], meta["version"], meta["scale"], meta["controls"])
        levels = self.residual if self.descriptor.task == "latent-diffusion" else None
        text |= {} if levels is None else residual_text(levels)
        write(target, Picture((image,), replace(self.metadata, text=joined(self.metadata.text, text))), **options)
        return target


def named_kernels(descriptor: ModelDescriptor, controls: Mapping[str, Any]) -> tuple[Kernel, ...]:
    """Return the downscalers that a model inverts, or the one that the controls name."""
    declared = descriptor.degradation or {}
    names = [declared.get("kernel"), *declared.get("also", ())]
    known = tuple(kernel for name in names for kernel in KERNELS if kernel == name)
    named = tuple(kernel for kernel in KERNELS if kernel == controls.get("degradation"))
    return named or known


def _three_axes(image: Array) -> Array:
    return image if image.ndim == 3 else image[..., None]
