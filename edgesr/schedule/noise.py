"""Normal noise that is a function of seed and place: the same on every machine, and the same in every tile.

The generator is Philox4x64-10 (Salmon et al. 2011), which numpy computes in C and a GPU in a few instructions. Its key
is ``(seed, 0)``. The field is cut into blocks of 32 x 32 places: block ``(Y, X)`` of channel ``c`` has the 512 words of
the counters ``(128 c + 1 ... 128, X mod 2**64, Y mod 2**64, stream + 2**32 sample)``, four words each, one after the
other. Word ``k = 32 i + j``, whose lower half is ``l`` and upper half ``h``, gives the places ``(i, j)`` and
``(i + 16, j)`` of the block by Box and Muller's transform, all in float32::

    u(w) = (2 (w >> 9) + 1) / 2**24
    n[i, j], n[i + 16, j] = sqrt(-2 ln u(l)) * (cos 2 pi u(h), sin 2 pi u(h))

``stream`` is 0 for the first state and ``step + 1`` for the noise that a step adds.
"""

from __future__ import annotations

import numpy as np

from edgesr.errors import UsageError
from edgesr.types import Array, FloatArray

LARGEST_SEED = 2**64 - 1
_SIDE = 32
_WORDS = _SIDE * _SIDE // 2
"""Of one block of one channel."""


def noise_field(
    seed: int, stream: int, shape: tuple[int, int, int], *, top: int = 0, left: int = 0, sample: int = 0
) -> FloatArray:
    """Return a window of an endless field of independent normal numbers, float32 ``(channels, height, width)``.

    ``top`` and ``left`` place the window, in elements of the state, and may be negative; windows that overlap agree
    where they do. ``sample`` numbers pictures drawn with one seed, 0 to 65535.
    """
    channels, height, width = shape
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"the seed must be 0 to {LARGEST_SEED}, got {seed}")
    if not (0 <= stream < 2**32 and 0 <= sample < 65536 and 0 < channels <= 65536):
        raise UsageError(f"noise has at most 65536 samples and channels, got sample {sample} and {channels} channels")
    field = np.empty(shape, np.float32)
    generator = np.random.Philox(key=seed)
    for row in range(top // _SIDE, (top + height - 1) // _SIDE + 1):
        for column in range(left // _SIDE, (left + width - 1) // _SIDE + 1):
            place = (column % 2**64, row % 2**64, stream + (sample << 32))
            block = _normal(_words(generator, place, channels * _WORDS)).reshape(channels, _SIDE, _SIDE)
            rows, in_rows = _overlap(row * _SIDE, top, height)
            columns, in_columns = _overlap(column * _SIDE, left, width)
            field[:, rows, columns] = block[:, in_rows, in_columns]
    return field


def _words(generator: np.random.Philox, place: tuple[int, int, int], number: int) -> Array:
    """Return as many words of the counters ``(1, *place)``, ``(2, *place)`` and so on, uint64."""
    state = generator.state
    # The generator counts before it draws.
    state["state"]["counter"][:] = (0, *place)
    state["buffer_pos"] = len(state["buffer"])
    generator.state = state
    words: Array = generator.random_raw(number)
    return words


def _normal(words: Array) -> FloatArray:
    """Return the cosines' and the sines' numbers of uint64 words, ``(n / 512, 2, 512)``."""
    shares = np.empty((2, len(words)), np.float32)
    for share, half in zip(shares, (words.astype(np.uint32), words >> np.uint64(32)), strict=True):
        share[:] = half >> half.dtype.type(9)
    shares *= np.float32(2.0**-23)
    shares += np.float32(2.0**-24)
    radius, angle = shares
    np.log(radius, out=radius)
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2.0 * np.pi)
    normal = np.empty((len(words) // _WORDS, 2, _WORDS), np.float32)
    for part, wave in enumerate((np.cos, np.sin)):
        np.multiply(radius.reshape(-1, _WORDS), wave(angle).reshape(-1, _WORDS), out=normal[:, part])
    return normal


def _overlap(block: int, start: int, size: int) -> tuple[slice, slice]:
    """Return which places of a window ``[start, start + size)`` a block gives, in the window and in the block."""
    first, last = max(block, start), min(block + _SIDE, start + size)
    return slice(first - start, last - start), slice(first - block, last - block)
