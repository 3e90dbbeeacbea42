"""One way to sample: what of a package's defaults is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from edgesr.model import ModelDescriptor
from edgesr.model.diffusion_rules import UNROLLED
from edgesr.pipelines.latent_tiles import around_of
from edgesr.schedule import ScheduleConfig, make_schedule
from edgesr.schedule.config import CLASSES

CLASS_OF = {sampler: name for name, sampler in CLASSES.items()}
Start = Literal["noise", "noised", "input"]
Consistency = Literal["off", "final", "every-step"]
Projection = Literal["oblique", "orthogonal"]


@dataclass(frozen=True)
class Candidate:
    """A complete setting of sampler and surroundings."""

    sampler: str
    steps: int
    start: Start
    start_timestep: int | None
    """None where all training timesteps are walked."""
    spacing: str | None = None
    """None is the sampler's usual one; truncated starts have trailing spacing."""
    consistency: Consistency = "final"
    projection: Projection = "oblique"
    samples: int = 1
    fidelity: float | None = None

    @property
    def evaluations(self) -> int:
        """Network evaluations for a picture."""
        return self.steps * self.samples

    def descriptor(self, source: ModelDescriptor) -> ModelDescriptor:
        """Return the descriptor with this setting as its defaults; raise EdgesrError for one that cannot be."""
        config = config_of(source)
        is_own = self.sampler == config.sampler
        changed = replace(
            config,
            class_name=config.class_name if is_own else CLASS_OF[self.sampler],
            solver_order=config.solver_order if is_own else 2,
            clip_sample=make_schedule(config, 1).clip is not None,
            num_inference_steps=self.steps,
            start=self.start,
            start_timestep=self.start_timestep,
            timestep_spacing=self.spacing,
        )
        checked = ScheduleConfig.from_json(changed.to_json(), source=f"model {source.name}")
        around = replace(
            around_of(source),
            consistency=self.consistency,
            projection=self.projection,
            samples=self.samples,
            fidelity=self.fidelity,
            unrolled=None,
        )
        parts = {name: part for name, part in source.parts.items() if name != UNROLLED}
        return replace(source, parts=parts, schedule=checked.to_json(), diffusion=around)

    def document(self) -> dict[str, Any]:
        """Return plain JSON data that ``from_document`` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, data: Mapping[str, Any]) -> Candidate:
        """Read what ``document`` returned."""
        return cls(**data)

    def told(self) -> str:
        """Say it in a few words."""
        place = "noise" if self.start == "noise" else f"{self.start} t={self.start_timestep}"
        spacing = f", {self.spacing}" if self.spacing else ""
        several = f", {self.samples} samples at fidelity {self.fidelity:g}" if self.fidelity is not None else ""
        held = "" if self.consistency == "off" else f" {self.projection}"
        return f"{self.sampler} x{self.steps} from {place}{spacing}{several}, consistency {self.consistency}{held}"


def config_of(descriptor: ModelDescriptor) -> ScheduleConfig:
    """Return the schedule of a package."""
    return ScheduleConfig.from_json(descriptor.schedule, source=f"model {descriptor.name}")


def packaged(descriptor: ModelDescriptor) -> Candidate:
    """Return what the package does by itself."""
    config, around = config_of(descriptor), around_of(descriptor)
    schedule = make_schedule(config)
    start: Start = "noise" if schedule.start == "noise" else "input" if schedule.start == "input" else "noised"
    return Candidate(
        schedule.sampler, schedule.steps, start, config.start_timestep, config.timestep_spacing, around.consistency,
        around.projection, around.samples, around.fidelity,
    )  # fmt: skip


def full(descriptor: ModelDescriptor) -> Candidate:
    """Return the package's own sampler over all training timesteps, from where it starts them, one sample."""
    own, config = packaged(descriptor), config_of(descriptor)
    untruncated = replace(config, start_timestep=None, start=None)
    start: Start = "noise" if make_schedule(untruncated, 1).start == "noise" else "noised"
    return replace(
        own, steps=config.num_train_timesteps, start_timestep=None, start=start, spacing=None, samples=1, fidelity=None
    )
