"""Restoration and super-resolution of pictures of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import InputError, UsageError
from edgesr.image.resample import Kernel
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.package import ModelPackage
from edgesr.pipelines.bands import Band, restore_bands
from edgesr.pipelines.controls import estimate_controls, resolve_controls, show_controls
from edgesr.pipelines.network import RestoreNetwork, Settings
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.planes import check_channels
from edgesr.pipelines.result import named_kernels
from edgesr.pipelines.tilesize import has_full_context, tiles_for
from edgesr.pipelines.timings import Timings
from edgesr.types import Array


class Restorer(PicturePipeline):
    """A restoration model on a device: call it with a picture.

    Thread-safe. ``color`` names the order of colour pictures that are passed in and returned, ``"rgb"`` or ``"bgr"``.
    ``tile`` is the tile side in input pixels (default: from the model and the free memory); ``tta`` averages over the
    eight flips and rotations; ``network`` is the network in the backend's own form, such as a TensorRT engine. Further
    keywords are the model's controls, e.g. ``fidelity=1.0``.
    """

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
        tile: int | None = None,
        tta: bool = False,
        network: Path | None = None,
        **controls: Any,
    ) -> None:
        super().__init__(package, backend, color=color)
        check_channels(self.descriptor)
        self._controls = resolve_controls(self.descriptor, controls)
        self._tile = tile
        self._tta = tta
        self._network = RestoreNetwork(package, backend, network)
        tiles_for(self.descriptor, 1, 1, tile)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this model: what was inferred about a bare ONNX file, and what is not exact."""
        if has_full_context(self.descriptor):
            return self.package.notes
        return (
            *self.package.notes,
            "its receptive field is unknown or larger than its tiles: pictures of several tiles are blended, not exact",
        )

    def bands(
        self,
        pixels: Array,
        *,
        uncertainty: bool = False,
        extra_outputs: bool = False,
        timings: Timings | None = None,
        on_tile: Callable[[int, int], None] | None = None,
        **controls: Any,
    ) -> Iterator[Band]:
        """Restore ``(H, W, C)`` RGB pixels and yield the result in bands of rows, so that memory does not grow with H.

        ``on_tile`` is told the number of finished tiles and of all. When the device runs out of memory on the first
        tile, smaller tiles are tried.
        """
        descriptor = self.descriptor
        values = resolve_controls(descriptor, controls, self._controls)
        if uncertainty and descriptor.uncertainty is None:
            raise UsageError(f"model {descriptor.name} predicts no uncertainty")
        if extra_outputs and not self.extra_outputs:
            raise UsageError(f"model {descriptor.name} has no outputs beside the picture")
        _check_embedded(descriptor, pixels)
        further = self.extra_outputs if extra_outputs else ()
        settings = Settings(estimate_controls(descriptor, values, pixels), _quantum(pixels.dtype), uncertainty, further)
        return restore_bands(
            self._network,
            pixels,
            settings,
            tile=self._tile,
            tta=self._tta,
            timings=Timings() if timings is None else timings,
            on_tile=on_tile,
        )

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs beside the picture and its error, such as ``parsing``."""
        return self._network.further

    def settings(self, **controls: Any) -> dict[str, Any]:
        """Return the value of every control (``auto`` = by picture)."""
        return show_controls(self.descriptor, resolve_controls(self.descriptor, controls, self._controls))

    def kernels(self, **controls: Any) -> tuple[Kernel, ...]:
        """Return the downscalers that the model inverts, or the one that the user named."""
        return named_kernels(self.descriptor, self.settings(**controls))

    def meta(self, **controls: Any) -> dict[str, Any]:
        """Describe what is run: model, version, scale, device, tiles, downscaler and controls."""
        return {**super().meta(**controls), "tile": self._tile, "tta": self._tta}

    def _free(self) -> None:
        self._network.close()


def _check_embedded(descriptor: ModelDescriptor, pixels: Array) -> None:
    """Refuse pictures that a network which takes pictures itself would see with fewer or other grey levels."""
    kind = descriptor.embedded_io
    if kind is not None and pixels.dtype != kind:
        bits = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}
        raise InputError(
            f"model {descriptor.name} was built with --embed-io {kind} and takes {bits[kind]} pictures; this one is "
            f"{bits[pixels.dtype.name]}: use the model without --embed-io, or convert the picture"
        )
    if kind is not None and descriptor.input.color == "y" and pixels.shape[2] > 2:
        raise InputError(
            f"model {descriptor.name} takes luma, which --embed-io rounds to {kind}; run colour pictures on the model "
            "without --embed-io"
        )


def _quantum(dtype: np.dtype[Any]) -> float:
    """Return the grey-level step of pixels of ``dtype``, in [0, 1]."""
    return 0.0 if dtype.kind == "f" else 1.0 / float(np.iinfo(dtype).max)
