"""Residual shifting (Yue et al. 2023): a diffusion whose far end is the low-resolution picture with noise."""

from __future__ import annotations

import numpy as np

from edgesr.errors import ModelError
from edgesr.schedule.betas import etas
from edgesr.schedule.config import ScheduleConfig
from edgesr.types import Array


def resshift(config: ScheduleConfig, times: Array) -> tuple[Array, float, float]:
    """Return rows as ``samplers`` does, and signal and noise of the first state.

    ``x = x0 + eta (y - x0) + kappa sqrt(eta) noise`` with y the low-resolution picture or its latent; each step is the
    posterior of the next eta given x and x0 (equation 7).
    """
    if config.prediction_type != "sample":
        raise ModelError(
            f"residual shifting needs a network that predicts the picture (prediction_type sample), "
            f"not {config.prediction_type}"
        )
    now = etas(config)[times.astype(np.int64)]
    then = np.append(now[1:], 0.0)
    rows = np.zeros((len(times), 8))
    rows[:, 0] = times
    rows[:, 1] = 1.0 / _spread(config, now)
    rows[:, 3] = 1.0
    rows[:, 4], rows[:, 5] = then / now, (now - then) / now
    rows[:, 7] = config.kappa * np.sqrt(then / now * (now - then))
    return rows, 1.0, float(config.kappa * np.sqrt(now[0]))


def _spread(config: ScheduleConfig, eta: Array) -> Array:
    """Return what the network's input is divided by: a deviation for latents, a largest value for pictures."""
    if not config.normalize_input:
        return np.ones_like(eta)
    noise = config.kappa * np.sqrt(eta)
    return np.sqrt(np.square(noise) + 1.0) if config.latent_flag else 3.0 * noise + 1.0
