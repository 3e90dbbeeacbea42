"""How much of the picture is left at every training timestep: ``alphas_cumprod`` in float64."""

from __future__ import annotations

import numpy as np

from edgesr.errors import ModelError
from edgesr.schedule.config import ScheduleConfig
from edgesr.types import Array

_LARGEST_BETA = 0.999
"""Of the cosine schedule (Nichol and Dhariwal 2021)."""


def alphas_cumprod(config: ScheduleConfig) -> Array:
    """Return the share of signal power at each training timestep, float64 ``(num_train_timesteps,)``, falling.

    With ``rescale_betas_zero_snr`` the last one is exactly 0 (Lin et al. 2023, algorithm 1).
    """
    alphas = np.cumprod(1.0 - betas(config))
    if config.rescale_betas_zero_snr:
        roots = np.sqrt(alphas)
        alphas = np.square((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1])))
    return alphas


def betas(config: ScheduleConfig) -> Array:
    """Return the variance of the noise that each training timestep adds, float64 ``(num_train_timesteps,)``."""
    count = config.num_train_timesteps
    if config.trained_betas is not None:
        return np.array(config.trained_betas, np.float64)
    if config.beta_schedule == "linear":
        return np.linspace(config.beta_start, config.beta_end, count)
    if config.beta_schedule == "scaled_linear":
        return np.square(np.linspace(config.beta_start**0.5, config.beta_end**0.5, count))
    if config.beta_schedule == "squaredcos_cap_v2":
        times = np.arange(count + 1) / count
        signal = np.square(np.cos((times + 0.008) / 1.008 * np.pi / 2))
        limited: Array = np.minimum(1.0 - signal[1:] / signal[:-1], _LARGEST_BETA)
        return limited
    raise ModelError(f"the schedule has no beta_schedule {config.beta_schedule!r}")


def etas(config: ScheduleConfig) -> Array:
    """Return how far ResShift has moved to the low-resolution picture at each timestep, float64, rising below 1.

    Section 2.2 of Yue et al. 2023 (ResShift): geometric in the square root, with exponent ``power``.
    """
    count = config.num_train_timesteps
    first = min(config.min_noise_level / config.kappa, config.min_noise_level)
    exponents = np.linspace(0.0, 1.0, count) ** config.power
    roots: Array = first * (config.etas_end / first) ** exponents
    return np.square(roots)
