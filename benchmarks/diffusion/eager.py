"""The published sampler in PyTorch's eager mode: 300 DDPM steps, then the decoder.

As a process: ``python -m benchmarks.diffusion.eager AUTOENCODER UNET EPSILON.edgesr LOW.png LARGE.png THREADS``, where
``seeded seeded`` in place of the weights stands for networks of the published size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from edgesr.image import Metadata, Picture, read, write
from edgesr.image.resample import upscale
from edgesr.model import open_package
from edgesr.schedule import Schedule, ScheduleConfig, make_schedule, noise_field
from export.models.autoencoder import GreyAutoencoder
from export.models.unet_lite import UNetLite

CHANNELS, REDUCTION = 8, 4
"""Of our autoencoder's latents: their channels, and how many times smaller they are than the picture."""
PUBLISHED_REDUCTION = 8
SEEDED = "seeded"
ENLARGEMENT = 4


class Latents(Protocol):
    """An autoencoder of grey pictures ``(N, 1, H, W)`` in [-1, 1]."""

    def encode(self, picture: Tensor) -> Tensor:
        """Return the latent."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture."""


class EagerDiffusion:
    """An autoencoder and a noise-predicting U-Net of ``export``, walked by a DDPM schedule.

    Noise is that of edgesr for the same seed, so that pictures can be compared; drawing it is not timed.
    """

    def __init__(self, autoencoder: Latents, unet: UNetLite, schedule: Schedule, reduction: int = REDUCTION) -> None:
        self._autoencoder, self._unet = autoencoder, unet.eval()
        self._schedule, self._reduction = schedule, reduction

    @classmethod
    def read(cls, autoencoder: Path, unet: Path, schedule: Schedule) -> EagerDiffusion:
        """Read two ``weights.pt`` of the recipe."""
        networks = GreyAutoencoder(CHANNELS), UNetLite(CHANNELS)
        for network, path in zip(networks, (autoencoder, unet), strict=True):
            state = torch.load(path, weights_only=False)
            network.load_state_dict(state.get("averaged", state))
            network.eval()
        return cls(*networks, schedule)

    @classmethod
    def published(cls, schedule: Schedule) -> EagerDiffusion:
        """Return networks of the published size with seeded weights: diffusers' AutoencoderKL, and U-Net-lite."""
        from export.models.autoencoder_kl import DiffusersAutoencoder

        autoencoder = DiffusersAutoencoder.seeded()
        return cls(autoencoder, UNetLite(autoencoder.channels), schedule, PUBLISHED_REDUCTION)

    def draw(self, low: np.ndarray, seed: int) -> list[np.ndarray]:
        """Return the noise of the first state and of every step for a picture, ``(1, channels, h, w)`` each."""
        shape = self._unet.channels, *(side * ENLARGEMENT // self._reduction for side in low.shape)
        return [noise_field(seed, stream, shape)[None] for stream in range(self._schedule.steps + 1)]

    @torch.inference_mode()
    def __call__(self, low: np.ndarray, noise: list[np.ndarray], *, through_numpy: bool) -> np.ndarray:
        """Enlarge a uint8 picture ``(h, w)``; return float32 ``(H, W)`` in [0, 1].

        ``through_numpy`` updates the state in numpy, as the published scheduler does: out of PyTorch and back at every
        step. Without it the update is PyTorch's, and nothing but the result leaves.
        """
        large = upscale(low[..., None].astype(np.float32) / 255, ENLARGEMENT)[..., 0] * 2 - 1
        condition = self._autoencoder.encode(torch.from_numpy(np.ascontiguousarray(large))[None, None])
        walk: Callable[[Tensor, list[np.ndarray]], Tensor] = self._walk_numpy if through_numpy else self._walk
        picture = self._autoencoder.decode(walk(condition, noise)).clamp(-1, 1)
        return ((picture + 1) / 2)[0, 0].numpy()

    def _walk_numpy(self, condition: Tensor, noise: list[np.ndarray]) -> Tensor:
        state = self._schedule.first_state(condition.numpy(), noise[0]).astype(np.float32)
        for index, row in enumerate(self._schedule.rows):
            t, c_in, a, b, p, q, _, s = (np.float32(value) for value in row)
            made = self._unet(torch.from_numpy(c_in * state), condition, torch.tensor([float(t)])).numpy()
            state = p * state + q * (a * state + b * made)
            if s:
                state = state + s * noise[index + 1]
        return torch.from_numpy(state)

    def _walk(self, condition: Tensor, noise: list[np.ndarray]) -> Tensor:
        drawn = [torch.from_numpy(values) for values in noise]
        state = torch.from_numpy(self._schedule.first_state(condition.numpy(), noise[0]).astype(np.float32))
        for index, row in enumerate(self._schedule.rows):
            t, c_in, a, b, p, q, _, s = (float(value) for value in row)
            made = self._unet(c_in * state, condition, torch.tensor([t]))
            state = p * state + q * (a * state + b * made)
            if s:
                state = state + s * drawn[index + 1]
        return state


def main() -> None:
    """Enlarge one picture from file to file."""
    autoencoder, unet, package, source, target, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    config = ScheduleConfig.from_json(open_package(package).descriptor.schedule, source=package)
    schedule = make_schedule(config)
    if SEEDED in (autoencoder, unet):
        eager = EagerDiffusion.published(schedule)
    else:
        eager = EagerDiffusion.read(Path(autoencoder), Path(unet), schedule)
    low = read(Path(source)).pixels[..., 0]
    large = eager(low, eager.draw(low, 1), through_numpy=True)
    stored = np.rint(large.clip(0, 1) * 255).astype(np.uint8)
    write(Path(target), Picture((stored[..., None],), Metadata(format="PNG")))


if __name__ == "__main__":
    main()
