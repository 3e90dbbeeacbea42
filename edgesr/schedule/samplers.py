"""The samplers of diffusions with betas, each as rows of coefficients.

Every function takes ``levels``, float64 ``(steps + 1,)``: the share of signal power (alphas_cumprod) at each step and
at the end; and returns float64 ``(steps, 8)``, columns as in ``table.COLUMNS``, the first of which, t, is left 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesr.types import Array


def ddpm(levels: Array, prediction: str, *, large: bool) -> Array:
    """Ho et al. 2020, equation 7: the posterior mean, with the smaller or the ``large`` of its two variances."""
    rows = _rows(levels, prediction)
    now, then = levels[:-1], levels[1:]
    beta = 1.0 - now / then
    rows[:, 4] = np.sqrt(now / then) * (1.0 - then) / (1.0 - now)
    rows[:, 5] = np.sqrt(then) * beta / (1.0 - now)
    rows[:, 7] = np.sqrt(beta if large else (1.0 - then) / (1.0 - now) * beta)
    rows[-1, 7] = 0.0
    return rows


def ddim(levels: Array, prediction: str, eta: float) -> Array:
    """Song et al. 2021, equations 12 and 16; the noise is what x and the clamped x0 say, as in GLIDE."""
    rows = _rows(levels, prediction)
    now, then = levels[:-1], levels[1:]
    deviation = eta * np.sqrt((1.0 - then) / (1.0 - now) * (1.0 - now / then))
    deviation[-1] = 0.0
    direction = np.sqrt(np.maximum(1.0 - then - np.square(deviation), 0.0))
    rows[:, 4] = direction / np.sqrt(1.0 - now)
    rows[:, 5] = np.sqrt(then) - rows[:, 4] * np.sqrt(now)
    rows[:, 7] = deviation
    return rows


def renoise(levels: Array, prediction: str) -> Array:
    """Song et al. 2023, algorithm 1 (multistep consistency): predict x0, diffuse it anew to the next level."""
    rows = _rows(levels, prediction)
    rows[:, 5], rows[:, 7] = np.sqrt(levels[1:]), np.sqrt(1.0 - levels[1:])
    rows[-1, 7] = 0.0
    return rows


def euler(levels: Array, prediction: str) -> Array:
    """Karras et al. 2022, algorithm 2 without churn, on the state divided by its signal: noise sigma, signal 1."""
    rows = np.zeros((len(levels) - 1, 8))
    sigma = np.sqrt((1.0 - levels) / levels)
    now, then = sigma[:-1], sigma[1:]
    rows[:, 1] = np.sqrt(levels[:-1])
    rows[:, 2] = {"epsilon": np.ones_like(now), "v_prediction": levels[:-1], "sample": np.zeros_like(now)}[prediction]
    rows[:, 3] = {"epsilon": -now, "v_prediction": -now * rows[:, 1], "sample": np.ones_like(now)}[prediction]
    rows[:, 4] = then / now
    rows[:, 5] = 1.0 - then / now
    return rows


def dpm_solver(levels: Array, prediction: str, solver: str, orders: Sequence[str]) -> Array:
    """DPM-Solver++ (Lu et al. 2022), algorithms 1 and 2, on x0; ``orders`` says the update of each step.

    ``first`` is order 1; ``multi`` is order 2 from the x0 of this step and the one before (2M); ``single`` ends a
    pair of steps by order 2 from the pair's start (2S), whose state follows from the present one, as ``first`` made it.
    """
    rows = _rows(levels, prediction)
    alpha, sigma = np.sqrt(levels), np.sqrt(1.0 - levels)
    with np.errstate(divide="ignore"):
        snr = np.log(alpha) - np.log(sigma)
    for step, order in enumerate(orders):
        row, after = rows[step], step + 1
        row[4] = sigma[after] / sigma[step]
        if order == "first":
            row[5] = alpha[after] - alpha[step] * row[4]
            continue
        source = step if order == "multi" else step - 1
        shrink = sigma[after] / sigma[source] * alpha[source] / alpha[after]
        whole, part = snr[after] - snr[source], abs(snr[step] - snr[step - 1])
        linear = alpha[after] * (1.0 - shrink)
        slope = 0.5 * linear if solver == "midpoint" else alpha[after] * ((shrink - 1.0) / whole + 1.0)
        slope *= whole / part
        if order == "multi":
            row[5], row[6] = linear + slope, -slope
        else:
            before = alpha[step] - alpha[source] * sigma[step] / sigma[source]
            row[5], row[6] = slope, linear - slope - row[4] * before
    return rows


def _rows(levels: Array, prediction: str) -> Array:
    """Return rows that say x0 for a state of unit variance: ``sqrt(level) x0 + sqrt(1 - level) noise``."""
    rows = np.zeros((len(levels) - 1, 8))
    signal, noise = np.sqrt(levels[:-1]), np.sqrt(1.0 - levels[:-1])
    rows[:, 1] = 1.0
    if prediction == "epsilon":
        rows[:, 2], rows[:, 3] = 1.0 / signal, -noise / signal
    elif prediction == "v_prediction":
        rows[:, 2], rows[:, 3] = signal, -noise
    else:
        rows[:, 3] = 1.0
    return rows
