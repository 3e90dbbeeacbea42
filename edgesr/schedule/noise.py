"""Normal noise that is a function of seed and place: the same on every machine, and the same in every tile.

The generator is Philox4x32-10 (Salmon et al. 2011), which CUDA's cuRAND also has. Its key is the seed; its counter is
``(x // 4, y, channel + 65536 * sample, stream)``, so that one block of four 32-bit words w gives four neighbours in x
by Box and Muller's transform, in float64::

    u = (w + 0.5) / 2**32
    n[0], n[1] = sqrt(-2 ln u[0]) * (cos 2 pi u[1], sin 2 pi u[1])
    n[2], n[3] = sqrt(-2 ln u[2]) * (cos 2 pi u[3], sin 2 pi u[3])

rounded to float32. ``stream`` is 0 for the first state and ``step + 1`` for the noise that a step adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesr.errors import UsageError
from edgesr.types import Array, FloatArray

LARGEST_SEED = 2**64 - 1
_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)


def noise_field(
    seed: int, stream: int, shape: tuple[int, int, int], *, top: int = 0, left: int = 0, sample: int = 0
) -> FloatArray:
    """Return a window of an endless field of independent normal numbers, float32 ``(channels, height, width)``.

    ``top`` and ``left`` place the window, in elements of the state, and may be negative; windows that overlap agree
    where they do. ``sample`` numbers pictures drawn with one seed, 0 to 65535.
    """
    field: FloatArray = noise_fields(seed, [stream], shape, top=top, left=left, sample=sample)[0]
    return field


def noise_fields(
    seed: int, streams: Sequence[int], shape: tuple[int, int, int], *, top: int = 0, left: int = 0, sample: int = 0
) -> FloatArray:
    """Return the same window of several streams, ``(streams, channels, height, width)``; see ``noise_field``."""
    channels, height, width = shape
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"the seed must be 0 to {LARGEST_SEED}, got {seed}")
    if not (all(0 <= stream < 2**32 for stream in streams) and 0 <= sample < 65536 and 0 < channels <= 65536):
        raise UsageError(f"noise has at most 65536 samples and channels, got sample {sample} and {channels} channels")
    first = left // 4
    blocks = _words(first, (left + width - 1) // 4 + 1)
    rows = _words(top, top + height)[:, None]
    planes = _words(65536 * sample, 65536 * sample + channels)[:, None, None]
    lines = np.empty((len(streams), channels, height, len(blocks), 4), np.float32)
    # One stream after the other: what is drawn at once should fit into the nearest cache.
    for normal, stream in zip(lines, streams, strict=True):
        words = philox([blocks, rows, planes, np.array(stream, np.uint64)], (seed & 0xFFFFFFFF, seed >> 32))
        for pair in (0, 2):
            radius, angle = (np.add(word, 0.5, dtype=np.float64) for word in words[pair : pair + 2])
            radius /= 2.0**32
            np.log(radius, out=radius)
            radius *= -2.0
            np.sqrt(radius, out=radius)
            angle *= 2.0 * np.pi / 2.0**32
            np.multiply(radius, np.cos(angle), out=normal[..., pair], casting="same_kind")
            np.multiply(radius, np.sin(angle), out=normal[..., pair + 1], casting="same_kind")
    block: Array = lines.reshape(len(streams), channels, height, -1)[..., left - 4 * first :][..., :width]
    return block


def _words(start: int, stop: int) -> Array:
    """Return the whole numbers from ``start`` to ``stop`` modulo 2**32."""
    words: Array = np.arange(start, stop, dtype=np.int64).astype(np.uint64) & _WORD
    return words


def philox(counter: list[Array], key: tuple[int, int]) -> list[Array]:
    """Return four words of Philox4x32-10 for each counter; words are uint64 arrays of values below 2**32.

    The words of the counter may have shapes that broadcast: the first rounds are then done on less than all.
    """
    a, b, c, d = counter
    keys = list(key)
    for _ in range(10):
        low, high = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        b, d = b ^ (high >> _HALF) ^ np.uint64(keys[0]), d ^ (low >> _HALF) ^ np.uint64(keys[1])
        a, b, c, d = b, high & _WORD, d, low & _WORD
        keys = [(value + step) & 0xFFFFFFFF for value, step in zip(keys, _WEYL, strict=True)]
    return [a, b, c, d]
