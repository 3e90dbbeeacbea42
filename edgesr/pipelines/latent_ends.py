"""Encoder and decoder of a latent diffusion: small pictures to latents, and latents to bands of large pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from edgesr.engines.base import Backend, Buffer, Engine
from edgesr.errors import ModelError, NonFiniteError
from edgesr.image.resample import upscale, upscale_window
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.diffusion_rules import DECODER, ENCODER
from edgesr.pipelines.latent_tiles import LatentTiles, around_of
from edgesr.pipelines.tiling import Span, blend_tiles, span_weights
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray

_SHAPES_KEPT = 4


@dataclass
class _EndBuffers:
    source: Buffer
    made: Buffer | None = None
    """None until the first run has told its shape."""


class EndNetwork:
    """A network with one input and one output that are passed, and the lock under which it runs."""

    def __init__(self, engine: Engine, backend: Backend, lock: threading.Lock, source: str, made: str) -> None:
        self._engine, self._backend, self._lock = engine, backend, lock
        self._source, self._made = source, made
        self._kept: OrderedDict[tuple[int, ...], _EndBuffers] = OrderedDict()

    def __call__(self, values: Array, timings: Timings) -> FloatArray:
        """Run on ``(1, channels, h, w)`` and return a float32 copy of what comes out."""
        spec = self._engine.inputs[self._source]
        with self._lock:
            start = perf_counter()
            buffers = self._buffers(values.shape, spec.dtype)
            buffers.source.copy_from(np.ascontiguousarray(values, spec.dtype))
            copied = perf_counter()
            outputs = None if buffers.made is None else {self._made: buffers.made}
            made = self._engine.run({self._source: buffers.source}, outputs)[self._made]
            self._backend.synchronize()
            ran = perf_counter()
            result = np.array(made.numpy(), np.float32)
            if buffers.made is None:
                buffers.made = self._backend.empty(made.shape, made.dtype)
        timings.h2d += copied - start
        timings.infer += ran - copied
        timings.d2h += perf_counter() - ran
        return result

    def close(self) -> None:
        """Free the buffers."""
        with self._lock:
            self._kept.clear()

    def _buffers(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _EndBuffers:
        if shape not in self._kept:
            self._kept[shape] = _EndBuffers(self._backend.empty(shape, dtype))
            if len(self._kept) > _SHAPES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(shape)
        return self._kept[shape]


class LatentEnds:
    """What stands before and behind the steps of one package."""

    def __init__(self, descriptor: ModelDescriptor, encoder: EndNetwork | None, decoder: EndNetwork) -> None:
        self.descriptor = descriptor
        self._around = around_of(descriptor)
        self._encoder = encoder
        self._decoder = decoder

    def close(self) -> None:
        """Free the buffers of both networks."""
        for end in (self._encoder, self._decoder):
            if end is not None:
                end.close()

    @property
    def has_encoder(self) -> bool:
        """Whether pictures can be encoded."""
        return self._encoder is not None

    @property
    def encodes_large(self) -> bool:
        """Whether pictures of the output's size can be encoded."""
        return self._encoder is not None and self._around.upsampling == "bicubic"

    def encode(
        self, small: FloatArray, tiles: LatentTiles, timings: Timings, *, large: FloatArray | None = None
    ) -> FloatArray:
        """Return the latent ``(channels, h, w)`` of a small picture ``(h, w, c)`` in [0, 1], padded as ``tiles`` says.

        ``large`` is encoded in place of the enlarged small picture, where it is given.
        """
        descriptor, around = self.descriptor, self._around
        if self._encoder is None:
            raise ModelError(f"model {descriptor.name} has no part {ENCODER!r}; use a schedule that starts from noise")
        # How many times the encoder's input is larger than the latent.
        rise = around.latent_factor if around.upsampling == "bicubic" else None
        latent = np.zeros((around.latent_channels, *tiles.size), np.float32)
        for row in tiles.rows:
            for column in tiles.columns:
                if rise is not None:
                    rows, columns = (slice(s.start * rise, (s.start + s.size) * rise) for s in (row, column))
                    if large is None:
                        picture = upscale_window(small, descriptor.scale, rows, columns)
                    else:
                        picture = large[rows, columns]
                else:
                    picture = small[self._small(row), self._small(column)]
                encoded = self._encoder(self._expected(picture), timings)[0]
                channels = around.latent_channels
                if encoded.shape[0] not in (channels, 2 * channels) or encoded.shape[1:] != (row.size, column.size):
                    raise ModelError(
                        f"model {descriptor.name}: the encoder makes {list(encoded.shape)} of a picture whose latent "
                        f"has {[channels, row.size, column.size]}; latent_factor or latent_channels is wrong"
                    )
                at = (
                    slice(None),
                    slice(row.start, row.start + row.size),
                    slice(column.start, column.start + column.size),
                )
                latent[at] += encoded[:channels] * np.outer(span_weights(row), span_weights(column))
        latent -= np.float32(around.shift_factor)
        latent *= np.float32(around.scaling_factor)
        return latent

    def condition(self, small: FloatArray, latent: FloatArray | None) -> FloatArray | None:
        """Return what the network sees beside the state, ``(channels, h, w)``."""
        around = self._around
        if around.conditioning == "none" or around.condition == "latent":
            return latent if around.conditioning != "none" else None
        condition: FloatArray = self._expected(upscale(small, self.descriptor.scale // around.latent_factor))[0]
        return condition

    def decode(self, latent: FloatArray, tiles: LatentTiles, timings: Timings) -> Iterator[FloatArray]:
        """Yield the large picture of a latent as bands ``(h, W, c)`` in [0, 1], tile by tile."""
        around, descriptor = self._around, self.descriptor
        factor, channels = around.latent_factor, descriptor.output_channels

        def run(row: Span, column: Span) -> FloatArray:
            cut = latent[:, row.start : row.start + row.size, column.start : column.start + column.size]
            values = cut / np.float32(around.scaling_factor) + np.float32(around.shift_factor)
            picture = self._decoder(values[None], timings)[0].transpose(1, 2, 0)
            if picture.shape != (row.size * factor, column.size * factor, channels):
                raise ModelError(
                    f"model {descriptor.name}: the decoder makes {list(picture.shape)} where "
                    f"{[row.size * factor, column.size * factor, channels]} was expected"
                )
            return self.pixels(picture, DECODER)

        layers: list[tuple[slice, np.dtype[np.generic]]] = [(slice(0, channels), np.dtype(np.float32))]
        for (band,) in blend_tiles(tiles.rows, tiles.columns, factor, run, layers):
            yield band

    def pixels(self, picture: FloatArray, part: str) -> FloatArray:
        """Give what ``part`` made, ``(h, w, c)``, the range [0, 1] and RGB order; NaN raises NonFiniteError."""
        descriptor = self.descriptor
        low, high = descriptor.output_range
        if not np.isfinite(picture.sum()):
            raise NonFiniteError(
                f"model {descriptor.name}: the part {part!r} produced NaN or infinite pixels; "
                "if this is an FP16 model, use its FP32 form"
            )
        if descriptor.input.color == "bgr":
            picture = picture[..., ::-1]
        return np.ascontiguousarray((picture - np.float32(low)) * np.float32(1.0 / (high - low)))

    def source(self, small: FloatArray) -> FloatArray:
        """Return what the encoder takes of a whole small picture ``(h, w, c)`` in [0, 1]: ``(1, c, H, W)``."""
        is_enlarged = self._around.upsampling == "bicubic"
        return self._expected(upscale(small, self.descriptor.scale) if is_enlarged else small)

    def _small(self, span: Span) -> slice:
        factor, scale = self._around.latent_factor, self.descriptor.scale
        return slice(span.start * factor // scale, (span.start + span.size) * factor // scale)

    def _expected(self, picture: Array) -> FloatArray:
        """Give pixels ``(h, w, c)`` in [0, 1] the range, mean and order of the network: ``(1, c, h, w)``."""
        expects = self.descriptor.input
        low, high = expects.range
        values = picture[..., ::-1] if expects.color == "bgr" else picture
        values = values * np.float32(high - low) + np.float32(low)
        if expects.mean:
            values = values - np.asarray(expects.mean, np.float32)
        if expects.std:
            values = values / np.asarray(expects.std, np.float32)
        result: FloatArray = values.astype(np.float32).transpose(2, 0, 1)[None]
        return result
