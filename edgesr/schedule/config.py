"""A noise schedule as diffusers writes it: ``scheduler_config.json``, typed and checked."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from edgesr.errors import ModelError, UsageError

CLASSES: Mapping[str, str] = {
    "DDPMScheduler": "ddpm",
    "DDIMScheduler": "ddim",
    "DPMSolverMultistepScheduler": "dpm++2m",
    "DPMSolverSinglestepScheduler": "dpm++2s",
    "EulerDiscreteScheduler": "euler",
    "ResShiftScheduler": "resshift",
    "X0Scheduler": "x0",
}
"""Sampler of each ``_class_name``; the last two are edgesr's own."""

_FOREIGN = ("FlowMatch", "EDM", "LCM", "TCD", "CM", "Consistency", "KarrasVe", "ScoreSde", "VQ")
"""How names of schedulers begin whose networks predict something else than noise, velocity or the clean picture."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
    "algorithm_type": ("dpmsolver++",),
    "solver_type": ("midpoint", "heun"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "start": ("noise", "noised", "input"),
}
# Keys that diffusers' classes write, with the one value at which they change nothing here.
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "use_karras_sigmas": (False, None),
    "use_exponential_sigmas": (False, None),
    "use_beta_sigmas": (False, None),
    "use_lu_lambdas": (False, None),
    "use_flow_sigmas": (False, None),
    "use_dynamic_shifting": (False, None),
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
    "sigma_min": (None,),
    "sigma_max": (None,),
}
_IGNORED = frozenset({"skip_prk_steps", "flow_shift", "time_shift_type", "solver_p", "disable_corrector"})
_LARGEST_TRAINING = 100_000


@dataclass(frozen=True)
class ScheduleConfig:
    """What the network was trained with, and how it is sampled by default; every key of ``scheduler_config.json`` used.

    ``None`` stands for the default of the sampler. The last three groups are read by one family of samplers each.
    """

    class_name: str = "DDPMScheduler"
    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None
    rescale_betas_zero_snr: bool = False
    prediction_type: str = "epsilon"
    timestep_spacing: str | None = None
    steps_offset: int = 0
    clip_sample: bool | None = None
    clip_sample_range: float = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0

    num_inference_steps: int | None = None
    """Network evaluations by default; edgesr's own key, like the three that follow."""
    start: str | None = None
    start_timestep: int | None = None
    eta: float = 0.0

    variance_type: str | None = None
    set_alpha_to_one: bool = True

    solver_order: int = 2
    algorithm_type: str = "dpmsolver++"
    solver_type: str = "midpoint"
    lower_order_final: bool | None = None
    euler_at_final: bool = False
    final_sigmas_type: str = "zero"
    lambda_min_clipped: float | None = None

    kappa: float = 2.0
    """ResShift's noise scale; this and what follows are keys of its own configuration files."""
    power: float = 0.3
    min_noise_level: float = 0.04
    etas_end: float = 0.99
    normalize_input: bool = True
    latent_flag: bool = True

    @property
    def sampler(self) -> str:
        """Name of the sampler that ``_class_name`` stands for."""
        if self.class_name not in CLASSES:
            raise ModelError(
                f"the schedule's _class_name {self.class_name!r} has no sampler here; name one with --sampler, or "
                f"write one of {', '.join(CLASSES)} in its place"
            )
        name = CLASSES[self.class_name]
        return "dpm++1s" if name.startswith("dpm++") and self.solver_order == 1 else name

    def timestep_at(self, strength: float) -> int:
        """Return the start timestep that lets the diffusion change this share of the picture, above 0 to 1."""
        if not 0.0 < strength <= 1.0:
            raise UsageError(f"strength must be above 0 and at most 1, got {strength}")
        return max(round(strength * self.num_train_timesteps), 1) - 1

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ScheduleConfig:
        """Read a ``scheduler_config.json``; raise ModelError for one that is missing, damaged or not supported."""
        try:
            document = json.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ModelError(
                f"{os.fspath(path)}: is no readable scheduler_config.json: {error.strerror or error}; check the path"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{os.fspath(path)}: is no readable scheduler_config.json: {error}") from None
        return cls.from_json(document, source=os.fspath(path))

    @classmethod
    def from_json(cls, document: object, *, source: str) -> ScheduleConfig:
        """Check a decoded ``scheduler_config.json`` or the ``schedule`` of a package; ``source`` names it in errors."""
        if not isinstance(document, Mapping):
            raise ModelError(f"{source}: must be a JSON object as diffusers writes it, got {_show(document)}")
        known = {field.name: str(field.type) for field in fields(cls)}
        name = document.get("_class_name", "DDPMScheduler")
        if not isinstance(name, str):
            raise ModelError(f"{source}: _class_name must be a string, got {_show(name)}")
        if name.startswith(_FOREIGN):
            raise ModelError(
                f"{source}: networks of {name} predict what no sampler here understands; only those of noise, velocity "
                "or the clean picture are supported"
            )
        values: dict[str, Any] = {"class_name": name}
        if CLASSES.get(name) in ("resshift", "x0"):
            values["prediction_type"] = "sample"
        for key, value in document.items():
            if key.startswith("_") or key in _IGNORED:
                continue
            if key in _NEUTRAL:
                if value not in _NEUTRAL[key]:
                    raise ModelError(f"{source}: {key} {_show(value)} is not supported; only {_NEUTRAL[key][0]} is")
            elif key == "class_name" or key not in known:
                close = difflib.get_close_matches(str(key), [*known, *_NEUTRAL], n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ModelError(f"{source}: unknown key {_show(key)} in the schedule{hint}")
            else:
                values[key] = _value(key, value, known[key], source)
        config = cls(**values)
        for problem in _disagreements(config):
            raise ModelError(f"{source}: {problem}")
        return config

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that ``from_json`` reads, without the keys at their default."""
        defaults = asdict(ScheduleConfig())
        found = {key: value for key, value in asdict(self).items() if value != defaults[key] and key != "class_name"}
        if "trained_betas" in found:
            found["trained_betas"] = list(found["trained_betas"])
        if CLASSES.get(self.class_name) in ("resshift", "x0"):
            found["prediction_type"] = self.prediction_type
        return {"_class_name": self.class_name, **found}


def _value(key: str, value: object, kind: str, source: str) -> Any:
    if value is None and "None" in kind:
        return None
    if key == "lambda_min_clipped" and value == -math.inf:
        return None
    if key == "trained_betas":
        if isinstance(value, list | tuple) and value and all(_is_number(beta) for beta in value):
            return tuple(float(beta) for beta in value)
        raise ModelError(f"{source}: trained_betas must be a list of numbers, got {_show(value)}")
    if kind.startswith("bool") and isinstance(value, bool):
        return value
    if kind.startswith("int") and _is_number(value) and value % 1 == 0:
        return int(value)
    if kind.startswith("float") and _is_number(value):
        return float(value)
    if kind.startswith("str") and isinstance(value, str):
        if value not in _CHOICES[key]:
            raise ModelError(f"{source}: {key} must be one of {', '.join(_CHOICES[key])}, got {_show(value)}")
        return value
    nouns = {"b": "true or false", "i": "a whole number", "f": "a finite number", "s": "a string"}
    raise ModelError(f"{source}: {key} must be {nouns[kind[0]]}, got {_show(value)}")


def _disagreements(config: ScheduleConfig) -> list[str]:
    count = config.num_train_timesteps
    betas = config.trained_betas or (config.beta_start, config.beta_end)
    steps = config.num_inference_steps
    rules = [
        (1 <= count <= _LARGEST_TRAINING, f"num_train_timesteps must be 1 to {_LARGEST_TRAINING}, got {count}"),
        (all(0 < beta < 1 for beta in betas), "betas must be between 0 and 1"),
        (len(config.trained_betas or range(count)) == count, f"trained_betas must have {count} entries"),
        (0 <= config.steps_offset < count, f"steps_offset must be 0 to {count - 1}, got {config.steps_offset}"),
        (config.clip_sample_range > 0, f"clip_sample_range must be above 0, got {config.clip_sample_range}"),
        (0 < config.dynamic_thresholding_ratio <= 1, "dynamic_thresholding_ratio must be above 0 and at most 1"),
        (config.sample_max_value >= 1, f"sample_max_value must be at least 1, got {config.sample_max_value}"),
        (0 <= config.eta <= 1, f"eta must be 0 to 1, got {config.eta}"),
        (config.solver_order in (1, 2), f"solver_order must be 1 or 2, got {config.solver_order}"),
        (steps is None or 1 <= steps <= count, f"num_inference_steps must be 1 to {count}, got {steps}"),
        (0 <= (config.start_timestep or 0) < count, f"start_timestep must be 0 to {count - 1}"),
        (config.kappa > 0 and config.power > 0, "kappa and power must be above 0"),
        (0 < config.min_noise_level / max(config.kappa, 1.0) < config.etas_end < 1,
         "min_noise_level must be above 0 and below etas_end, and etas_end below 1"),
        (not config.rescale_betas_zero_snr or config.prediction_type != "epsilon",
         "rescale_betas_zero_snr needs v_prediction or sample: at zero signal, noise says nothing about the picture"),
    ]  # fmt: skip
    return [text for holds, text in rules if not holds]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _show(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
