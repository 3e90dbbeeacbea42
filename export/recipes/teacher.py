"""A published network as a teacher of the mean, on the one degradation that it was trained for."""

from pathlib import Path

import torch
from torch import Tensor

from export.exporting.weights import read_weights
from export.families.imdn import build
from export.models.resample import DEGRADATIONS

_LUMA = (65.738, 129.057, 25.064)


class Teacher:
    """An IMDN x4 of any size, trained on antialiased photographs; grey crops are given to it as three equal channels.

    What of a crop cannot be known from its small picture is noise to a training step, and most of its error. The
    teacher's picture has none of it, so that few steps of a small network learn more.
    """

    def __init__(self, checkpoint: Path) -> None:
        state, _ = read_weights(checkpoint)
        self._network = build(state, None, str(checkpoint)).network.eval().requires_grad_(False)
        self._luma = torch.tensor(_LUMA) / sum(_LUMA)

    @torch.no_grad()
    def taught(self, low: Tensor, high: Tensor, kinds: Tensor, share: float) -> Tensor:
        """Return ``high`` ``(N, 1, 4H, 4W)``, antialiased crops replaced by ``share`` of what the teacher makes."""
        chosen = kinds == DEGRADATIONS.index("antialiased")
        if not bool(chosen.any()):
            return high
        made = self._network(low[chosen].expand(-1, 3, -1, -1))
        grey = (made * self._luma[:, None, None]).sum(dim=1, keepdim=True).clamp(0, 1)
        aim = high.clone()
        aim[chosen] = high[chosen].lerp(grey, share)
        return aim
