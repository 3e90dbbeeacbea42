"""Filter PNG rows with numpy, a band at a time (PNG specification, section 9)."""

from __future__ import annotations

import numpy as np

from edgesr.types import Array

NONE, SUB, UP, AVERAGE, PAETH = range(5)
BLOCK_BYTES = 1 << 16
CACHED_BYTES = 1 << 16
SAMPLED = 8


def filter_rows(rows: Array, above: Array, step: int) -> Array:
    """Return uint8 ``(h, 1 + bytes)`` filtered rows, each led by its filter type.

    ``rows`` are uint8 ``(h, bytes)``, ``above`` the row before them (zeros at the top of a picture), ``step`` the bytes
    of one pixel. Every group of 8 rows takes the filter with the least sum of absolute differences in its last row.
    """
    height, width = rows.shape
    padded = np.zeros((height + 1, width + step), np.uint8)
    padded[0, step:] = above
    padded[1:, step:] = rows
    filtered = np.empty((height, 1 + width), np.uint8)
    block = max(1, BLOCK_BYTES // width) * SAMPLED
    for top in range(0, height, block):
        part = padded[top : top + block + 1]
        _filter_block(part, step, filtered[top : top + block])
    return filtered


def _filter_block(padded: Array, step: int, out: Array) -> None:
    height = len(out)
    sampled = np.arange(SAMPLED - 1, height + SAMPLED - 1, SAMPLED).clip(max=height - 1)
    best = _choose(padded, sampled, step)
    kinds = np.repeat(best, SAMPLED)[:height]
    out[:, 0] = kinds
    changes = np.flatnonzero(np.diff(kinds)) + 1
    for start, stop in zip((0, *changes.tolist()), (*changes.tolist(), height), strict=True):
        _apply(int(kinds[start]), padded[start : stop + 1], step, out[start:stop, 1:])


def _choose(padded: Array, sampled: Array, step: int) -> Array:
    rows = np.stack([padded[sampled], padded[sampled + 1]])
    costs = np.empty((5, len(sampled)), np.int64)
    scratch = np.empty((len(sampled), padded.shape[1] - step), np.uint8)
    for kind in range(5):
        _apply_pairs(kind, rows[0], rows[1], step, scratch)
        np.minimum(scratch, np.negative(scratch), out=scratch)
        costs[kind] = scratch.sum(axis=1, dtype=np.uint32)
    return np.asarray(costs.argmin(axis=0))


def _apply(kind: int, padded: Array, step: int, out: Array) -> None:
    """Filter in pieces whose intermediate results stay in the cache."""
    rows = max(1, CACHED_BYTES // padded.shape[1])
    for top in range(0, len(out), rows):
        part = padded[top : top + rows + 1]
        _apply_pairs(kind, part[:-1], part[1:], step, out[top : top + rows])


def _apply_pairs(kind: int, above: Array, current: Array, step: int, out: Array) -> None:
    """Filter rows given with ``step`` zero bytes before them; ``above`` holds the row over each of ``current``."""
    x, a, b, c = current[:, step:], current[:, :-step], above[:, step:], above[:, :-step]
    if kind == NONE:
        out[...] = x
    elif kind == SUB:
        np.subtract(x, a, out=out)
    elif kind == UP:
        np.subtract(x, b, out=out)
    elif kind == AVERAGE:
        mean = np.bitwise_xor(a, b)
        mean >>= 1
        mean += a & b
        np.subtract(x, mean, out=out)
    else:
        np.subtract(x, _paeth(a, b, c), out=out)


def _paeth(a: Array, b: Array, c: Array) -> Array:
    """Predict from left, above and upper left in uint8 arithmetic alone.

    With p = a + b - c the distances are |b - c|, |a - c| and |(a - c) + (b - c)|. Where both differences have one sign
    the third is their sum and never the least; else it is the difference of the first two.
    """
    to_a = np.maximum(b, c)
    to_a -= np.minimum(b, c)
    to_b = np.maximum(a, c)
    to_b -= np.minimum(a, c)
    least = np.minimum(to_a, to_b)
    to_c = np.maximum(to_a, to_b)
    to_c -= least
    corner = to_c < least
    corner &= (a < c) != (b < c)
    predicted = _select(to_a <= to_b, a, b)
    return _select(corner, c, predicted)


def _select(condition: Array, yes: Array, no: Array) -> Array:
    """Return ``numpy.where(condition, yes, no)`` for uint8 without branches, which mispredict on photographs."""
    mask = np.negative(condition.view(np.uint8))
    mask &= yes ^ no
    mask ^= no
    return mask
