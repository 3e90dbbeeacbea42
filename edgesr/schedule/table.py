"""A schedule as one row of coefficients per step, which covers every sampler here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgesr.errors import UsageError
from edgesr.schedule.betas import alphas_cumprod
from edgesr.schedule.config import ScheduleConfig
from edgesr.schedule.resshift import resshift
from edgesr.schedule.samplers import ddim, ddpm, dpm_solver, euler, renoise
from edgesr.schedule.spacing import spaced
from edgesr.types import Array

COLUMNS = ("t", "c_in", "a", "b", "p", "q", "r", "s")
"""``out = network(c_in x, t)``; ``x0 = hook(a x + b out)``; ``next x = p x + q x0 + r previous_x0 + s noise``."""
SAMPLERS = ("ddpm", "ddim", "dpm++1s", "dpm++2s", "dpm++2m", "euler", "resshift", "x0")
STARTS = ("noise", "noised", "input")
"""Noise alone; the encoded input with the noise of the first timestep; the encoded input as it is."""


@dataclass(frozen=True)
class Thresholding:
    """Dynamic thresholding of x0 (Saharia et al. 2022), section 2.3: divide by the quantile ``ratio`` of ``|x0|``,
    which is held in ``[1, largest]``, after clipping to it."""

    ratio: float
    largest: float


@dataclass(frozen=True, eq=False)
class Schedule:
    """The steps of a sampler, complete: no other table is needed to run it."""

    sampler: str
    rows: Array
    """float64 ``(steps, 8)``, columns as in ``COLUMNS``; not writable."""
    start: str
    """One of ``STARTS``."""
    signal: float
    """The first state is ``signal * latent + noise * n``, with n of unit variance."""
    noise: float
    clip: float | None = None
    """x0 is clipped to ``[-clip, clip]``."""
    thresholding: Thresholding | None = None

    @property
    def steps(self) -> int:
        """Network evaluations."""
        return len(self.rows)

    @property
    def timesteps(self) -> Array:
        """What the network is told, float64 ``(steps,)``; whole numbers but for Euler with linspace spacing."""
        return self.rows[:, 0]

    @property
    def noisy_steps(self) -> tuple[int, ...]:
        """Steps that add noise, counted from 0; the last step never does."""
        return tuple(int(step) for step in np.flatnonzero(self.rows[:, 7]))

    @property
    def uses_history(self) -> bool:
        """Whether any step takes the x0 of the step before."""
        return bool(self.rows[:, 6].any())

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of everything that a walk depends on, to the six digits that all machines share."""
        numbers = [f"{value:.6g}" for value in (*self.rows.ravel(), self.signal, self.noise)]
        facts = (numbers, self.start, self.clip, self.thresholding)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def first_state(self, latent: Array | None, noise: Array | None) -> Array:
        """Return the state before the first step, float32; ``latent`` and ``noise`` have its shape.

        ``latent`` may be None where ``start`` is ``noise``, ``noise`` where it is ``input``.
        """
        if latent is None and self.signal:
            raise UsageError(f"a schedule that starts from {self.start!r} needs the encoded input")
        if noise is None and self.noise:
            raise UsageError(f"a schedule that starts from {self.start!r} needs noise")
        parts = [
            np.float64(factor) * part
            for factor, part in ((self.signal, latent), (self.noise, noise))
            if part is not None and factor
        ]
        return np.asarray(sum(parts), np.float32)

    def clamp(self, x0: Array) -> Array:
        """Clip or threshold a prediction of the clean state, ``(n, ...)``; each of the n by itself."""
        if self.thresholding is not None:
            magnitudes = np.abs(x0).reshape(len(x0), -1)
            limit = np.quantile(magnitudes, self.thresholding.ratio, axis=1)
            limit = np.clip(limit, 1.0, self.thresholding.largest).reshape(-1, *[1] * (x0.ndim - 1))
            return np.asarray(np.clip(x0, -limit, limit) / limit, x0.dtype)
        return x0 if self.clip is None else np.clip(x0, -self.clip, self.clip)


def make_schedule(
    config: ScheduleConfig,
    steps: int | None = None,
    *,
    sampler: str | None = None,
    start: str | None = None,
    start_timestep: int | None = None,
    timesteps: Sequence[float] | None = None,
    eta: float | None = None,
) -> Schedule:
    """Make the table of ``steps`` network evaluations; what is None comes from the config.

    ``start_timestep`` truncates the diffusion: the first step is there, the others follow by the trailing rule down to
    the picture, and the state starts from the encoded input (``start="noised"`` unless said otherwise).
    ``timesteps``, falling, replaces spacing altogether; with it, too, the state starts from the encoded input where the
    first one is below the last training timestep. ``eta`` is the share of noise of DDIM.
    """
    sampler = config.sampler if sampler is None else sampler
    if sampler not in SAMPLERS:
        raise UsageError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    eta = config.eta if eta is None else eta
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"eta must be 0 to 1, got {eta}")
    truncated = config.start_timestep if start_timestep is None and timesteps is None else start_timestep
    times = _timesteps(config, sampler, steps, truncated, timesteps)
    if sampler == "resshift":
        rows, signal, noise = resshift(config, times)
    else:
        rows, signal, noise = _diffused(config, sampler, times, eta)
    is_partial = times[0] < config.num_train_timesteps - 1 and (truncated is not None or timesteps is not None)
    if start is None:
        start = config.start or ("noised" if is_partial or sampler == "resshift" else "noise")
    if start not in STARTS:
        raise UsageError(f"start must be one of {', '.join(STARTS)}, got {start!r}")
    if start == "noise":
        if sampler == "resshift" or (is_partial and truncated is not None):
            raise UsageError("a truncated or residual-shifting schedule starts from the input; use start='noised'")
        signal = 0.0
        noise = _largest_noise(config, sampler, times, noise)
    elif start == "input":
        signal, noise = 1.0 / float(rows[0, 1]) if sampler == "euler" else 1.0, 0.0
    rows.setflags(write=False)
    clip, thresholding = _hook(config, sampler)
    return Schedule(sampler, rows, start, float(signal), float(noise), clip, thresholding)


def _timesteps(
    config: ScheduleConfig, sampler: str, steps: int | None, truncated: int | None, given: Sequence[float] | None
) -> Array:
    count = config.num_train_timesteps
    if given is not None:
        if steps is not None or truncated is not None:
            raise UsageError("timesteps say where each step is; give no steps and no start timestep beside them")
        times = np.array(given, np.float64)
        if times.ndim != 1 or not len(times) or not np.all(np.isfinite(times)) or np.any(np.diff(times) >= 0):
            raise UsageError(f"timesteps must be a falling list, got {list(given)[:8]}")
        if times[0] > count - 1 or times[-1] < 0 or (sampler != "euler" and np.any(times % 1)):
            raise UsageError(f"timesteps must be whole numbers from {count - 1} down to 0, got {list(given)[:8]}")
        return times
    steps = config.num_inference_steps if steps is None else steps
    if steps is None:
        raise UsageError("the number of steps is not said by the model; give it with --steps")
    last = count
    if truncated is not None:
        if not 0 <= truncated < count:
            raise UsageError(f"the start timestep must be 0 to {count - 1}, got {truncated}")
        last = truncated + 1
    elif config.lambda_min_clipped is not None and sampler.startswith("dpm++"):
        alphas = alphas_cumprod(config)
        with np.errstate(divide="ignore"):
            last = int(np.count_nonzero(0.5 * np.log(alphas / (1.0 - alphas)) >= config.lambda_min_clipped))
    if not 1 <= steps <= last:
        raise UsageError(f"steps must be 1 to {last}, the training timesteps from the start on; got {steps}")
    if truncated is not None:
        return spaced("trailing", steps, last)
    fallback = "leading" if sampler in ("ddpm", "ddim") else "trailing" if sampler in ("resshift", "x0") else "linspace"
    spacing = config.timestep_spacing or fallback
    is_dpm = sampler.startswith("dpm++")
    return spaced(spacing, steps, last, offset=config.steps_offset, skip_zero=is_dpm, fractions=sampler == "euler")


def _diffused(config: ScheduleConfig, sampler: str, times: Array, eta: float) -> tuple[Array, float, float]:
    """Return rows, and signal and noise of the first state, of a sampler of a diffusion with betas."""
    alphas = alphas_cumprod(config)
    if config.rescale_betas_zero_snr and (sampler.startswith("dpm++") or sampler == "euler"):
        # An infinite ratio of noise to signal cannot be integrated; diffusers takes the same small signal.
        alphas[-1] = 2.0**-24
    ratios = np.interp(times, np.arange(len(alphas)), np.sqrt((1.0 - alphas) / np.maximum(alphas, 1e-300)))
    levels = np.where(times % 1 == 0, alphas[times.astype(np.int64)], 1.0 / (1.0 + np.square(ratios)))
    is_kept = (sampler == "ddim" and not config.set_alpha_to_one) or (
        (sampler.startswith("dpm++") or sampler == "euler") and config.final_sigmas_type == "sigma_min"
    )
    # A step from timestep 0 to timestep 0 would spend a network evaluation on nothing.
    final = alphas[0] if is_kept and times[-1] > 0 else 1.0
    levels = np.append(levels, final)
    if sampler == "ddpm":
        rows = ddpm(levels, config.prediction_type, large="large" in (config.variance_type or ""))
    elif sampler == "ddim":
        rows = ddim(levels, config.prediction_type, eta)
    elif sampler == "euler":
        rows = euler(levels, config.prediction_type)
    elif sampler == "x0":
        rows = renoise(levels, config.prediction_type)
    else:
        rows = dpm_solver(levels, config.prediction_type, config.solver_type, _orders(config, sampler, len(times)))
    rows[:, 0] = times
    if sampler == "euler":
        return rows, 1.0, float(np.sqrt((1.0 - levels[0]) / levels[0]))
    return rows, float(np.sqrt(levels[0])), float(np.sqrt(1.0 - levels[0]))


def _orders(config: ScheduleConfig, sampler: str, steps: int) -> list[str]:
    """Return the update of each step: ``first``, ``multi`` (second order from two steps) or ``single``."""
    ends_low = config.final_sigmas_type == "zero"
    if sampler == "dpm++2m":
        lower = True if config.lower_order_final is None else config.lower_order_final
        ends_low = ends_low or config.euler_at_final or (lower and steps < 15)
        orders = ["first", *["multi"] * (steps - 1)]
    elif sampler == "dpm++2s":
        ends_low = ends_low or steps % 2 == 1 or bool(config.lower_order_final)
        orders = [("first", "single")[step % 2] for step in range(steps)]
    else:
        orders = ["first"] * steps
    return [*orders[:-1], "first"] if ends_low else orders


def _largest_noise(config: ScheduleConfig, sampler: str, times: Array, sigma: float) -> float:
    if sampler != "euler":
        return 1.0
    spacing = config.timestep_spacing or "linspace"
    return float(np.sqrt(sigma**2 + 1.0)) if spacing == "leading" else sigma


def _hook(config: ScheduleConfig, sampler: str) -> tuple[float | None, Thresholding | None]:
    if config.thresholding:
        return None, Thresholding(config.dynamic_thresholding_ratio, config.sample_max_value)
    default = CLIPPED_BY_DEFAULT.get(config.class_name, False) and sampler in ("ddpm", "ddim")
    is_clipped = default if config.clip_sample is None else config.clip_sample
    return (config.clip_sample_range if is_clipped else None), None


CLIPPED_BY_DEFAULT = {"DDPMScheduler": True, "DDIMScheduler": True}
