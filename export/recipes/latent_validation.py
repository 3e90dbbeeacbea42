"""Validation of the latent diffusion during training, by the schedule and the noise of the run time."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from edgesr.schedule import Schedule, ScheduleConfig, make_schedule, noise_field, sample
from export import metrics
from export.data.degradations import bicubic, downscale
from export.lpips import Lpips
from export.models.unet_lite import UNetLite
from export.recipes.latent_stages import EPSILON_SCHEDULE, FEW_STEP_SCHEDULE, Latents

SEED = 1


class LatentValidator:
    """Score 256 px pictures; ``pictures`` are larger ones, uint8."""

    def __init__(self, pictures: list[np.ndarray], lpips: Path) -> None:
        self._high = [cv2.resize(p, (256, 256), interpolation=cv2.INTER_CUBIC) for p in pictures]
        self._low = [downscale(p, "cubic") for p in self._high]
        self._bicubic = [bicubic(p) for p in self._low]
        self._lpips = Lpips("alex", lpips)
        self.baseline = self._quality(self._bicubic)

    @torch.no_grad()
    def round_trip(self, latents: Latents, picture: Path) -> dict[str, float]:
        """Score encoding and decoding the truth."""
        return self._judge(
            {"round trip": [_grey(latents.decode(latents.encode(_signed(p)))) for p in self._high]}, picture
        )

    @torch.no_grad()
    def epsilon(self, network: UNetLite, latents: Latents, picture: Path) -> dict[str, float]:
        """Score DDIM in 20 steps from the noised bicubic latent, and DPM-Solver++ in 3 from timestep 50."""
        config = ScheduleConfig.from_json(EPSILON_SCHEDULE, source="recipe")
        schedules = {
            "ddim 20": make_schedule(config, 20, sampler="ddim", start_timestep=299),
            "dpm++2m 3": make_schedule(config, 3, sampler="dpm++2m", start_timestep=50),
        }
        conditions = [latents.encode(_signed(p)) for p in self._bicubic]
        return self._judge(
            {name: [diffuse(network, latents, s, c) for c in conditions] for name, s in schedules.items()}, picture
        )

    @torch.no_grad()
    def few_step(
        self, network: UNetLite, latents: Latents, mean: Callable[[Tensor], Tensor], picture: Path
    ) -> dict[str, float]:
        """Score the encoded mean itself and 1, 2 and 4 steps from it."""
        config = ScheduleConfig.from_json(FEW_STEP_SCHEDULE, source="recipe")
        conditions = [latents.encode(2 * mean((_signed(p) + 1) / 2) - 1) for p in self._low]
        images = {"mean": [_grey(latents.decode(c)) for c in conditions]}
        for steps in (1, 2, 4):
            schedule = make_schedule(config, steps)
            images[f"{steps} steps"] = [diffuse(network, latents, schedule, c) for c in conditions]
        return self._judge(images, picture)

    def _judge(self, images: dict[str, list[np.ndarray]], picture: Path) -> dict[str, float]:
        row = np.hstack([self._bicubic[0], *(found[0] for found in images.values()), self._high[0]])
        cv2.imwrite(str(picture), row)
        scores = {}
        for name, found in images.items():
            quality = self._quality(found)
            scores[f"{name} psnr"] = quality["psnr"] - self.baseline["psnr"]
            scores[f"{name} ssim"] = quality["ssim"] - self.baseline["ssim"]
            scores[f"{name} lpips"] = quality["lpips"] / self.baseline["lpips"]
            scores[f"{name} grid"] = quality["grid"]
        return scores

    def _quality(self, images: list[np.ndarray]) -> dict[str, float]:
        pairs = list(zip(images, self._high, strict=True))
        return {
            "psnr": float(np.mean([metrics.psnr(a, t) for a, t in pairs])),
            "ssim": float(np.mean([metrics.ssim(a, t) for a, t in pairs])),
            "lpips": float(np.mean([float(self._lpips(_unit(a), _unit(t))) for a, t in pairs])),
            "grid": float(np.mean([metrics.grid_index(a) for a in images])),
        }


def diffuse(network: UNetLite, latents: Latents, schedule: Schedule, condition: Tensor, seed: int = SEED) -> np.ndarray:
    """Return the picture, uint8 ``(H, W)``, that a schedule makes of a condition ``(1, channels, h, w)``."""
    shape = tuple(condition.shape[1:])
    state = schedule.first_state(condition.numpy(), noise_field(seed, 0, shape)[None])

    def predict(scaled: np.ndarray, t: float) -> np.ndarray:
        return network(torch.from_numpy(scaled.astype(np.float32)), condition, torch.tensor([t])).numpy()

    latent = sample(schedule, predict, state, lambda step: noise_field(seed, step + 1, shape)[None])
    return _grey(latents.decode(torch.from_numpy(latent.astype(np.float32))))


def _signed(image: np.ndarray) -> Tensor:
    return 2 * _unit(image) - 1


def _unit(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image)[None, None].float() / 255


def _grey(picture: Tensor) -> np.ndarray:
    return np.clip(np.rint((picture[0, 0].numpy() + 1) * 127.5), 0, 255).astype(np.uint8)
