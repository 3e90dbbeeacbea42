"""How noisy a picture is where it is smoothest."""

from __future__ import annotations

import numpy as np

from edgesr.image.convert import to_float
from edgesr.types import Array

QUIETEST = 0.1
"""Share of the blocks that have less noise than what is returned: in the others it may be structure."""
_SIDE = 5
_ROWS = 32 * _SIDE


def noise_level(image: Array) -> float:
    """Return the noise, in [0, 1], of ``(H, W, C)``, uint8, uint16 or float in [0, 1]: the largest of the channels'.

    It is the tenth percentile, over blocks of 5 x 5 pixels, of the root mean square response to a mask that is blind to
    ramps (Immerkaer, "Fast noise variance estimation", 1996). Blocks that touch black or white are left out; 0 where
    nothing is left. White noise of standard deviation s has about 0.7 s.
    """
    return max((_of_plane(image[..., channel]) for channel in range(image.shape[2])), default=0.0)


def _of_plane(plane: Array) -> float:
    height, width = ((side - 2) // _SIDE * _SIDE for side in plane.shape)
    found = []
    for top in range(0, height, _ROWS):
        strip = to_float(plane[top : min(top + _ROWS, height) + 2, : width + 2])
        clipped = (strip <= 0.0) | (strip >= 1.0)
        across = strip[:, :-2] - 2 * strip[:, 1:-1] + strip[:, 2:]
        response = (across[:-2] - 2 * across[1:-1] + across[2:]) / 6
        beside = clipped[:, :-2] | clipped[:, 1:-1] | clipped[:, 2:]
        tainted = beside[:-2] | beside[1:-1] | beside[2:]
        squared = _blocks(np.square(response)).mean(axis=(1, 3))
        found.append(squared[~_blocks(tainted).any(axis=(1, 3))])
    levels = np.concatenate(found) if found else np.empty(0)
    return float(np.sqrt(np.quantile(levels, QUIETEST))) if levels.size else 0.0


def _blocks(values: Array) -> Array:
    height, width = values.shape
    return values.reshape(height // _SIDE, _SIDE, width // _SIDE, _SIDE)
