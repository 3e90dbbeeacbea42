"""Latent diffusion of pictures of any size in a few steps, true to what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import ModelError, UsageError
from edgesr.image.resample import Kernel
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.package import ModelPackage
from edgesr.pipelines.bands import Band
from edgesr.pipelines.diffusion_bands import Walk, diffuse_bands
from edgesr.pipelines.diffusion_network import DiffusionNetwork, Prepare
from edgesr.pipelines.diffusion_options import DiffusionOptions, Resolved, resolve
from edgesr.pipelines.latent_tiles import tile_sizes
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.timings import Timings
from edgesr.schedule import ScheduleConfig, make_schedule
from edgesr.types import Array

BATCH = 4


class LatentDiffusion(PicturePipeline):
    """A latent diffusion on a device: call it with a picture, and get the same one from the same seed.

    Thread-safe. ``tile`` is the tile side in input pixels (default: what the network was trained with); ``batch`` is
    how many tiles or samples are run at once; ``prepare`` puts networks into the backend's own form. Further keywords
    are the fields of ``DiffusionOptions``: ``steps``, ``sampler``, ``seed``, ``strength``, ``consistency``,
    ``samples``, ``fidelity``, ``degradation``; in each call, too.
    """

    unit = "steps"
    is_generative = True

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
        tile: int | None = None,
        batch: int = BATCH,
        prepare: Prepare | None = None,
        **options: Any,
    ) -> None:
        super().__init__(package, backend, color=color)
        if batch < 1:
            raise UsageError(f"batch must be at least 1, got {batch}")
        self._config = ScheduleConfig.from_json(self.descriptor.schedule, source=f"model {self.descriptor.name}")
        self._options = DiffusionOptions().changed(options)
        self._tile = tile
        self._batch = batch
        least, largest = tile_sizes(self.descriptor, tile)
        resolved = self._resolved({})
        self._network = DiffusionNetwork(package, backend, least=least, largest=largest, batch=batch, prepare=prepare)
        whole = self._network.whole
        if whole is not None and not whole.walks(make_schedule(self._config)):
            self._network.close()
            raise ModelError(
                f"model {self.descriptor.name}: the schedule in model.json is not the one that its part 'unrolled' "
                "walks; unroll the package again with `edgesr build PACKAGE --unroll N`"
            )
        if whole is None or not whole.walks(resolved.schedule):
            self._network.step(resolved.schedule)

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
        """Make the picture of ``(H, W, C)`` RGB pixels and yield it in bands of rows; ``on_tile`` is told steps.

        With ``uncertainty`` each band has the standard deviation of the samples, of which there must be two or more, or
        the bound that the package's ``uncertainty.link`` makes of any number of them.
        """
        options = self._resolved(controls)
        if extra_outputs:
            raise UsageError(f"model {self.descriptor.name} has no outputs beside the picture")
        known = self.descriptor.uncertainty
        if uncertainty and options.samples < 2 and (known is None or known.link is None):
            raise UsageError("uncertainty is how much samples differ; give --samples 2 or more with it")
        walk = Walk(self._network, options, self._tile, self._batch, timings or Timings(), on_tile)
        return diffuse_bands(walk, pixels, with_deviation=uncertainty)

    def as_described(self, descriptor: ModelDescriptor, pixels: Array) -> Array:
        """Make the picture of ``(H, W, C)`` RGB pixels as this package with another schedule would.

        ``descriptor`` differs from the package's own in ``schedule`` and in how ``diffusion`` samples; the networks and
        their buffers are these.
        """
        config = ScheduleConfig.from_json(descriptor.schedule, source=f"model {descriptor.name}")
        resolved = resolve(descriptor, config, replace(DiffusionOptions(), seed=self._options.seed))
        walk = Walk(self._network, resolved, self._tile, self._batch, Timings())
        return np.concatenate([band.rows for band in diffuse_bands(walk, pixels, with_deviation=False)])

    def settings(self, **controls: Any) -> dict[str, Any]:
        """Return steps, sampler, first timestep, seed, consistency, samples and fidelity."""
        return dict(self._resolved(controls).shown)

    def kernels(self, **controls: Any) -> tuple[Kernel, ...]:
        """Return the downscaler that is taken for the one that made the input."""
        kernel = self._resolved(controls).kernel
        return (kernel,) if kernel else ()

    def _resolved(self, given: dict[str, Any]) -> Resolved:
        return resolve(self.descriptor, self._config, self._options.changed(given))

    def _free(self) -> None:
        self._network.close()
