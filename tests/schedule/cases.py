"""What is compared with diffusers: every combination of schedule and sampler, with a toy network and fixed noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

STATE = (1, 1, 2, 2)
LINEAR = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
SHORT = {**LINEAR, "num_train_timesteps": 300}
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("leading", "trailing", "linspace")


def network(x: np.ndarray, t: float) -> np.ndarray:
    """A bounded function of state and timestep, in float64."""
    return np.tanh(0.7 * x + 0.4 * np.cos(t / 90.0)) + 0.2 * x


def first_state() -> np.ndarray:
    return np.array([0.3, -1.1, 0.7, 1.9]).reshape(STATE)


def noise(step: int) -> np.ndarray:
    return np.cos(1.3 * step + 0.7 * np.arange(4.0)).reshape(STATE)


def cases() -> Iterator[dict[str, Any]]:
    """``config`` is scheduler_config.json; ``steps`` or ``timesteps`` and ``eta`` are given when sampling.

    diffusers takes the last noise of DDPM also where its final step should be clean; the oracle gets zeros there.
    """
    for betas in (LINEAR, SCALED, COSINE, SHORT):
        for prediction in PREDICTIONS:
            base = {**betas, "prediction_type": prediction}
            for spacing in SPACINGS:
                spaced = {**base, "timestep_spacing": spacing}
                for variance in ("fixed_small", "fixed_small_log", "fixed_large"):
                    yield _case("DDPMScheduler", spaced, 5, variance_type=variance, clip_sample=False)
                if spacing != "linspace":  # there diffusers takes a wrong previous timestep
                    for eta in (0.0, 0.5, 1.0):
                        yield _case("DDIMScheduler", spaced, 5, eta=eta, clip_sample=False)
                for solver in ("midpoint", "heun"):
                    yield _case("DPMSolverMultistepScheduler", spaced, 6, solver_type=solver)
                yield _case("DPMSolverMultistepScheduler", spaced, 4, solver_order=1)
                yield _case("EulerDiscreteScheduler", spaced, 5)
            for solver in ("midpoint", "heun"):
                for count in (5, 6):
                    yield _case("DPMSolverSinglestepScheduler", base, count, solver_type=solver, lower_order_final=True)
            yield _case("DPMSolverSinglestepScheduler", base, 4, solver_order=1, lower_order_final=True)
            yield _case("LCMScheduler", base, None, timesteps=[250, 120, 40, 9], clip_sample=False)
    yield from _variants()


def _variants() -> Iterator[dict[str, Any]]:
    offset = {**SCALED, "steps_offset": 1, "timestep_spacing": "leading"}
    many = {**SCALED, "timestep_spacing": "trailing"}
    for prediction in PREDICTIONS:
        clipped = {**offset, "prediction_type": prediction, "clip_sample_range": 0.8}
        yield _case("DDPMScheduler", clipped, 10, clip_sample=True)
        yield _case("DDIMScheduler", clipped, 10, clip_sample=True, eta=0.3)
        limit = {**offset, "prediction_type": prediction, "thresholding": True, "sample_max_value": 1.7}
        limit |= {"dynamic_thresholding_ratio": 0.9}
        for name in ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler"):
            yield _case(name, limit, 10)
    for name in ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler"):
        dark = {**many, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
        yield _case(name, dark, 5, **({"clip_sample": False} if name.startswith("DD") else {}))
        if name != "DDIMScheduler":  # which takes no list of timesteps
            keys = {"clip_sample": False} if name.startswith("DD") else {}
            yield _case(name, LINEAR, None, timesteps=[50, 33, 16], **keys)
            trained = {"trained_betas": [0.01, 0.02, 0.05, 0.1, 0.2, 0.3], "num_train_timesteps": 6}
            yield _case(name, {**trained, "timestep_spacing": "linspace"}, 3, **keys)
    yield _case("DDIMScheduler", offset, 5, clip_sample=False, set_alpha_to_one=False)
    for count in (6, 20):
        yield _case("DPMSolverMultistepScheduler", many, count, final_sigmas_type="sigma_min", lower_order_final=False)
        yield _case("DPMSolverMultistepScheduler", many, count, final_sigmas_type="sigma_min")
        yield _case("DPMSolverMultistepScheduler", many, count, final_sigmas_type="sigma_min", euler_at_final=True)
        keys = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
        yield _case("DPMSolverSinglestepScheduler", SCALED, count, **keys)
    yield _case("DPMSolverMultistepScheduler", {**COSINE, "timestep_spacing": "linspace"}, 8, lambda_min_clipped=-5.1)
    yield _case("EulerDiscreteScheduler", many, 5, final_sigmas_type="sigma_min")
    for count in (1, 50, 300):
        yield _case("DDPMScheduler", {**SHORT, "timestep_spacing": "trailing"}, count, clip_sample=False)
    yield _case("DDIMScheduler", {**SHORT, "timestep_spacing": "trailing"}, 50, clip_sample=False)


def _case(name: str, config: dict[str, Any], steps: int | None, **keys: Any) -> dict[str, Any]:
    case: dict[str, Any] = {key: keys.pop(key) for key in ("eta", "timesteps") if key in keys}
    return {"config": {"_class_name": name, **config, **keys}, "steps": steps, **case}
