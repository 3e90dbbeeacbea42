"""What each stage of the latent diffusion trains, and its losses: autoencoder, noise prediction, few steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesr.schedule import Schedule, ScheduleConfig, make_schedule
from edgesr.schedule.betas import alphas_cumprod, etas
from export import losses
from export.lpips import Lpips
from export.models.autoencoder import GreyAutoencoder
from export.models.cascade import MeanEnlarger
from export.models.resample import BicubicUpsampler, Downscalers
from export.models.unet_lite import UNetLite

EPSILON_SCHEDULE = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 300,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "clip_sample": False,
    "num_inference_steps": 300,
}
"""As published, in the keys of ``scheduler_config.json``."""
FEW_STEP_SCHEDULE = {
    "_class_name": "ResShiftScheduler",
    "prediction_type": "sample",
    "num_train_timesteps": 4,
    "num_inference_steps": 4,
    "kappa": 1.0,
    "power": 0.3,
    "min_noise_level": 0.2,
    "etas_end": 0.99,
}
"""Four noise levels from the encoded mean; noise of the first is 1, about 1.5 times what the mean lacks."""


class Latents(Protocol):
    """An autoencoder of grey pictures in [-1, 1]: our own, or one of diffusers."""

    def encode(self, picture: Tensor) -> Tensor:
        """Return the latent."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture."""


@dataclass(frozen=True)
class Recipe:
    """What decides the trained weights, besides the pictures and the length of the run."""

    batch: int = 8
    side: int = 32
    learning_rate: float = 1.2e-3
    warmup: int = 60
    weight_decay: float = 1e-4
    average: float = 0.995
    sharpen_from: float = 0.35
    """Share of the run after which LPIPS counts."""
    lpips_weight: float = 0.25
    lpips_side: int = 112
    lattice_weight: float = 0.02
    measurement_weight: float = 0.2
    latent_weight: float = 0.01
    rollout: float = 0.5
    """Share of the batches, once LPIPS counts, whose states come from the network's own steps."""
    seed: int = 20261121


class Stage(nn.Module):
    """A network to be trained; ``forward`` returns its losses for a batch."""

    network: nn.Module

    def forward(self, low: Tensor, high: Tensor, progress: float) -> dict[str, Tensor]:
        """Take a batch in [0, 1] and how much of the run is over, 0 to 1."""
        raise NotImplementedError


class AutoencoderStage(Stage):
    """Charbonnier of the round trip with the posterior's noise; LPIPS (squeeze) later in the run."""

    def __init__(self, recipe: Recipe, network: GreyAutoencoder, lpips: Path) -> None:
        super().__init__()
        self.recipe, self.network = recipe, network
        self.lpips = Lpips("squeeze", lpips)

    def forward(self, low: Tensor, high: Tensor, progress: float) -> dict[str, Tensor]:
        """Use high resolution alone."""
        latent = self.network.encode(2 * high - 1)
        picture = (self.network.decode(latent + self.network.deviation * torch.randn_like(latent)) + 1) / 2
        terms = {"pixel": losses.charbonnier(picture, high)}
        if progress >= self.recipe.sharpen_from:
            part = _window(high, self.recipe.lpips_side)
            terms["lpips"] = self.recipe.lpips_weight / 5 * self.lpips(picture[part], high[part]).mean()
        return terms


class EpsilonStage(Stage):
    """Predict the noise, as published: latent of the truth with noise, beside that of the bicubic enlargement."""

    def __init__(self, recipe: Recipe, network: UNetLite, latents: Latents) -> None:
        super().__init__()
        self.recipe, self.network = recipe, network
        self.latents = [latents]
        config = ScheduleConfig.from_json(EPSILON_SCHEDULE, source="recipe")
        self.register_buffer("levels", torch.from_numpy(alphas_cumprod(config)).float(), persistent=False)
        self.upsample = BicubicUpsampler()

    def forward(self, low: Tensor, high: Tensor, progress: float) -> dict[str, Tensor]:
        """Draw a timestep and noise for every picture; mean squared error."""
        with torch.no_grad():
            truth = self.latents[0].encode(2 * high - 1)
            condition = self.latents[0].encode(2 * self.upsample(low).clamp(0, 1) - 1)
        times = torch.randint(0, len(self.levels), (len(truth),))
        level = self.levels[times].reshape(-1, 1, 1, 1)
        noise = torch.randn_like(truth)
        predicted = self.network(level.sqrt() * truth + (1 - level).sqrt() * noise, condition, times.float())
        return {"noise": functional.mse_loss(predicted, noise)}


class FewStepStage(Stage):
    """Predict the clean latent from a residual shift that starts at the encoded mean, judged as a picture.

    The state mixes the latent of the truth, that of the mean enlargement (which is also the condition), and noise, as
    ResShift does. In part of the late batches it is what the network's own earlier steps lead to, as at run time.
    """

    def __init__(self, recipe: Recipe, network: UNetLite, latents: Latents, mean: MeanEnlarger, lpips: Path) -> None:
        super().__init__()
        self.recipe, self.network = recipe, network
        self.frozen = [latents, mean]
        config = ScheduleConfig.from_json(FEW_STEP_SCHEDULE, source="recipe")
        self.schedule: Schedule = make_schedule(config, config.num_train_timesteps)
        self.kappa, self.etas = config.kappa, torch.from_numpy(etas(config)).float()
        self.downscalers = Downscalers()
        self.lpips = Lpips("squeeze", lpips)

    @torch.no_grad()
    def begin(self, low: Tensor, high: Tensor) -> None:
        """Let a correction of 1 be what the mean's latent lacks in a batch, channel by channel."""
        truth, condition = self._latents(low, high)[:2]
        self.network.gain.copy_((truth - condition).std((0, 2, 3), keepdim=True))

    def forward(self, low: Tensor, high: Tensor, progress: float) -> dict[str, Tensor]:
        """Draw one step for the batch."""
        recipe = self.recipe
        is_late = progress >= recipe.sharpen_from
        with torch.no_grad():
            truth, condition, mean = self._latents(low, high)
            step = int(torch.randint(self.schedule.steps, ()))
            state = self._own(condition, step) if is_late and torch.rand(()) < recipe.rollout else None
            if state is None:
                eta = self.etas[int(self.schedule.timesteps[step])]
                state = truth.lerp(condition, eta) + self.kappa * eta.sqrt() * torch.randn_like(truth)
        predicted = self._predict(state, condition, step)
        picture = (self.frozen[0].decode(predicted) + 1) / 2
        kinds = torch.zeros(len(low), dtype=torch.int64)
        terms = {
            "latent": recipe.latent_weight * ((predicted - truth) / self.network.gain).abs().mean(),
            "pixel": losses.charbonnier(picture, high),
            "measurement": recipe.measurement_weight * losses.measurement(self.downscalers, picture, low, kinds),
        }
        if is_late:
            part = _window(high, recipe.lpips_side)
            terms["lpips"] = recipe.lpips_weight * self.lpips(picture[part], high[part]).mean()
            terms["lattice"] = recipe.lattice_weight * losses.lattice(picture - mean)
        return terms

    def _latents(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latents, enlarge = self.frozen
        mean = enlarge(low)
        return latents.encode(2 * high - 1), latents.encode(2 * mean - 1), mean

    def _predict(self, state: Tensor, condition: Tensor, step: int) -> Tensor:
        t, c_in = (float(v) for v in self.schedule.rows[step, :2])
        return self.network(c_in * state, condition, torch.tensor([t]))

    def _own(self, condition: Tensor, last: int) -> Tensor:
        """Return the state that the network's own steps before ``last`` lead to."""
        state = self.schedule.signal * condition + self.schedule.noise * torch.randn_like(condition)
        for step in range(last):
            p, q, _, s = (float(v) for v in self.schedule.rows[step, 4:])
            state = p * state + q * self._predict(state, condition, step) + s * torch.randn_like(state)
        return state


def _window(picture: Tensor, side: int) -> tuple[object, slice, slice]:
    """Return the index of a random square, so that LPIPS sees every phase of the blocks."""
    y, x = (int(torch.randint(0, max(extent - side, 0) + 1, ())) for extent in picture.shape[-2:])
    return (..., slice(y, y + side), slice(x, x + side))
