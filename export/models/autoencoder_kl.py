"""AutoencoderKL of diffusers as the autoencoder of grey pictures, as the fifth paper uses stabilityai/sd-vae-ft-mse."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor


class DiffusersAutoencoder:
    """Encode and decode grey pictures in [-1, 1] by a three-channel autoencoder; nothing is trained further."""

    def __init__(self, network: AutoencoderKL) -> None:
        self.network = network.eval().requires_grad_(False)
        self.channels = int(self.network.config.latent_channels)
        self._factor = float(self.network.config.scaling_factor)
        self._shift = float(self.network.config.get("shift_factor") or 0.0)

    @classmethod
    def read(cls, folder: Path) -> DiffusersAutoencoder:
        """Read a folder with ``config.json`` and weights, as ``save_pretrained`` writes it."""
        return cls(AutoencoderKL.from_pretrained(folder, local_files_only=True))

    @classmethod
    def seeded(cls) -> DiffusersAutoencoder:
        """Return a network of the size of stabilityai/sd-vae-ft-mse, 83,653,863 parameters, with seeded weights."""
        torch.manual_seed(0)
        return cls(
            AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                latent_channels=4,
            )
        )

    def encode(self, picture: Tensor) -> Tensor:
        """Return the scaled mean of the posterior of ``(N, 1, H, W)``."""
        mean = self.network.encode(picture.expand(-1, 3, -1, -1)).latent_dist.mean
        return (mean - self._shift) * self._factor

    def decode(self, latent: Tensor) -> Tensor:
        """Return the mean of the three colours, ``(N, 1, H, W)``."""
        return torch.mean(self.network.decode(latent / self._factor + self._shift).sample, dim=1, keepdim=True)
