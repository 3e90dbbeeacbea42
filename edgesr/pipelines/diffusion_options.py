"""What a user may ask of a diffusion, and what holds where nothing is asked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from edgesr.errors import UsageError
from edgesr.image.backproject import Projection
from edgesr.image.resample import KERNELS, Kernel
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.rules import AUTOMATIC
from edgesr.pipelines.latent_tiles import around_of
from edgesr.schedule import SAMPLERS, Schedule, ScheduleConfig, make_schedule
from edgesr.schedule.noise import LARGEST_SEED

CONSISTENCY = ("off", "final", "every-step")
_MOST_SAMPLES = 1024


@dataclass(frozen=True)
class DiffusionOptions:
    """One setting of a diffusion; None stands for what the package says."""

    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    strength: float | None = None
    """Share of the training timesteps that the input is diffused by before the first step, above 0 to 1."""
    consistency: str | float | None = None
    """``off``, ``final``, ``every-step``; or a number from 0 to 1, which is ``final`` for a noisy input."""
    samples: int | None = None
    fidelity: float | None = None
    degradation: str | None = None
    """Downscaler that made the input; None for the package's own."""

    def changed(self, given: Mapping[str, Any]) -> DiffusionOptions:
        """Return these options with those that are given and not None; raise UsageError for wrong ones."""
        known = [field.name for field in fields(self)]
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise UsageError(f"a latent diffusion has no option {name!r} (it has: {', '.join(known)}){hint}")
        return replace(self, **{name: _checked(name, value) for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Resolved:
    """Options with everything that the package and its schedule say filled in."""

    schedule: Schedule
    seed: int
    consistency: str
    consistency_strength: float
    kernel: Kernel | None
    projection: Projection
    samples: int
    fidelity: float

    @property
    def shown(self) -> dict[str, str | float | int]:
        """What identifies a result, as a user would give it."""
        schedule = self.schedule
        number = self.consistency_strength
        values: dict[str, str | float | int] = {
            "steps": schedule.steps,
            "sampler": schedule.sampler,
            "first_timestep": float(schedule.timesteps[0]),
            "start": schedule.start,
            "seed": self.seed,
            "consistency": self.consistency if number == 1.0 else number,
            "samples": self.samples,
        }
        if self.samples > 1:
            values["fidelity"] = self.fidelity
        return values | ({"degradation": self.kernel} if self.kernel else {})


def resolve(descriptor: ModelDescriptor, config: ScheduleConfig, options: DiffusionOptions) -> Resolved:
    """Fill in what was not asked for; raise UsageError for what cannot go together."""
    around = around_of(descriptor)
    start = None if options.strength is None else config.timestep_at(options.strength)
    schedule = make_schedule(config, options.steps, sampler=options.sampler, start_timestep=start)
    kernel = _kernel(descriptor, options.degradation)
    asked = options.consistency
    mode = around.consistency if asked is None else "final" if isinstance(asked, float) else asked
    if kernel is None:
        if mode != "off" and asked is not None:
            raise UsageError(
                f"model {descriptor.name} names no downscaler, so nothing can be consistent with the input; "
                "use --consistency off, or say it with --degradation"
            )
        mode = "off"
    samples = around.samples if options.samples is None else options.samples
    fidelity = options.fidelity if options.fidelity is not None else around.fidelity
    if options.fidelity is not None and samples < 2:
        raise UsageError("fidelity lies between one sample and the mean of several; give --samples 2 or more with it")
    return Resolved(
        schedule,
        options.seed,
        mode,
        asked if isinstance(asked, float) else 1.0,
        kernel,
        around.projection,
        samples,
        1.0 if fidelity is None else fidelity,
    )


def _kernel(descriptor: ModelDescriptor, named: str | None) -> Kernel | None:
    declared = (descriptor.degradation or {}).get("kernel")
    name = declared if named in (None, AUTOMATIC) else named
    for kernel in KERNELS:
        if kernel == name:
            return kernel
    if named not in (None, AUTOMATIC):
        raise UsageError(f"degradation must be {', '.join(KERNELS)}, got {named!r}")
    return None


def _checked(name: str, value: Any) -> Any:
    if name == "consistency":
        if isinstance(value, str) and value in CONSISTENCY:
            return value
        number = _number(value)
        if number is None or not 0.0 <= number <= 1.0:
            raise UsageError(f"consistency must be {', '.join(CONSISTENCY)} or a number from 0 to 1, got {value!r}")
        return number
    if name == "sampler":
        if value not in SAMPLERS:
            raise UsageError(f"sampler must be one of {', '.join(SAMPLERS)}, got {value!r}")
        return value
    if name == "degradation":
        return str(value)
    number = _number(value)
    if name in ("strength", "fidelity"):
        if number is None or not 0.0 <= number <= 1.0 or (name == "strength" and not number):
            low = "above 0, up to 1" if name == "strength" else "0 to 1"
            raise UsageError(f"{name} must be a number {low}, got {value!r}")
        return number
    limits = {"steps": (1, 100_000), "seed": (0, LARGEST_SEED), "samples": (1, _MOST_SAMPLES)}
    low_limit, high_limit = limits[name]
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low_limit <= int(value) <= high_limit:
        raise UsageError(f"{name} must be a whole number from {low_limit} to {high_limit}, got {value!r}")
    return int(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
