"""What passes from the convolutions to the consistency step."""

from typing import NamedTuple

from torch import Tensor


class Heads(NamedTuple):
    """What the network predicts: three pictures ``(N, 1, 4H, 4W)``."""

    mean: Tensor
    detail: Tensor
    log_scale: Tensor
    """Relative to 0.02 of the grey range."""
