"""The mean of a trained X-ray network as the starting point of a diffusion, and encoders in front of it."""

from pathlib import Path

import torch
from torch import Tensor, nn

from export.models.autoencoder import Encoder
from export.models.cxr import MODELS
from export.models.resample import DEGRADATIONS


class MeanEnlarger(nn.Module):
    """Enlarge ``(N, 1, H, W)`` in [0, 1] four times: the most probable mean of a network, for cubic downscaling.

    ``model`` is one of `MODELS`.
    """

    degradation: Tensor

    def __init__(self, model: str = "cxr-x4") -> None:
        super().__init__()
        self.network = MODELS[model]()
        shares = [[float(name == "cubic") for name in DEGRADATIONS]]
        self.register_buffer("degradation", torch.tensor(shares), persistent=False)

    @classmethod
    def read(cls, path: Path) -> "MeanEnlarger":
        """Take the weights of a finished run or of a checkpoint of any of `MODELS`; nothing is trained further."""
        state = torch.load(path, weights_only=False)
        state = state.get("averaged", state)
        shapes = {name: values.shape for name, values in state.items()}
        for model in MODELS:
            enlarger = cls(model)
            if shapes == {name: values.shape for name, values in enlarger.network.state_dict().items()}:
                enlarger.network.load_state_dict(state)
                return enlarger.eval().requires_grad_(False)
        raise ValueError(f"{path}: holds the weights of none of {', '.join(MODELS)} as they are built today")

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 1, 4H, 4W)`` in [0, 1], without the graph's consistency step."""
        mean = self.network.heads(image, self.degradation).mean
        return self.network.filter(mean, image).clamp(0, 1)


class CascadeEncoder(nn.Module):
    """Low resolution ``(N, 1, H, W)`` in [-1, 1] to the latent ``(N, channels, H, W)`` of its mean enlargement."""

    def __init__(self, mean: MeanEnlarger, encoder: Encoder) -> None:
        super().__init__()
        self.mean, self.encoder = mean, encoder

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge, then encode."""
        return self.encoder(2 * self.mean((image + 1) / 2) - 1)
