"""Train the latent diffusion in stages: ``python -m export.recipes.latent_diffusion STAGE --pictures DIR --out DIR``.

``autoencoder`` first; then ``epsilon``, the published objective (linear betas 1e-4 to 0.02, 300 timesteps, noise
prediction, bicubic condition), or ``few-step``, the one that ships: residual shift from the mean of a trained cxr-x4,
four noise levels, the clean latent predicted and judged as a picture. With ``--autoencoder-kl`` an AutoencoderKL of
diffusers takes the place of the first stage. A run that was stopped goes on with ``--resume``. The same ``--steps``
and seed give the same weights on one machine; under ``--minutes`` the speed of the machine decides, too.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.data.pairing import PairSampler, split
from export.data.xray import read_folder
from export.models.autoencoder import GreyAutoencoder, klt
from export.models.cascade import MeanEnlarger
from export.models.unet_lite import UNetLite
from export.recipes.curves import append
from export.recipes.latent_stages import AutoencoderStage, EpsilonStage, FewStepStage, Latents, Recipe, Stage
from export.recipes.latent_validation import LatentValidator

CHECKPOINT_SECONDS = 120
RECIPES = {"autoencoder": Recipe(), "epsilon": Recipe(), "few-step": Recipe(sharpen_from=0.25, lpips_weight=0.2)}
Validate = Callable[[Any, Path], dict[str, float]]


class Trainer:
    """Hold everything that changes during a run, so that a checkpoint is one dictionary."""

    def __init__(
        self, stage: Stage, recipe: Recipe, sampler: PairSampler, steps: int | None, minutes: float | None
    ) -> None:
        if (steps is None) == (minutes is None):
            raise ValueError("give the length of the run as steps or as minutes, one of the two")
        self.stage, self.recipe, self.sampler = stage, recipe, sampler
        self.averaged = copy.deepcopy(stage.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            stage.network.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
        )
        self.step, self.seconds = 0, 0.0
        self._steps, self._minutes = steps, minutes

    @property
    def progress(self) -> float:
        """How much of the run is over, from 0; the run ends at 1."""
        return self.step / self._steps if self._steps else self.seconds / (60 * (self._minutes or 1))

    def advance(self) -> dict[str, float]:
        """Take one optimizer step; return its losses."""
        started = time.monotonic()
        recipe, progress = self.recipe, min(self.progress, 1.0)
        rate = (
            recipe.learning_rate * min(1, (self.step + 1) / recipe.warmup) * (0.5 + 0.5 * math.cos(math.pi * progress))
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate + 1e-6
        terms = self.stage(*self.sampler.batch(recipe.batch, recipe.side), progress)
        loss = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.stage.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(recipe.average, (1 + self.step) / (10 + self.step))
        for averaged, current in zip(self.averaged.parameters(), self.stage.network.parameters(), strict=True):
            averaged.lerp_(current.detach(), 1 - decay)
        self.seconds += time.monotonic() - started
        return {name: float(value.detach()) for name, value in terms.items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint; the file is complete or absent."""
        part = path.with_suffix(".part")
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "network": self.stage.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state,
            "torch": torch.get_rng_state(),
        }
        torch.save(state, part)
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of `save`."""
        state: dict[str, Any] = torch.load(path, weights_only=False)
        self.stage.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.state = state["sampler"]
        torch.set_rng_state(state["torch"])
        self.step, self.seconds = state["step"], state["seconds"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=RECIPES)
    parser.add_argument("--pictures", type=Path, required=True, help="large PNGs named PATIENT_NUMBER.png")
    parser.add_argument("--validation", type=Path, help="a folder of other patients; without it 70/20/10 of --pictures")
    parser.add_argument("--lpips", type=Path, required=True, help="folder with lpips_{alex,squeeze}_state_dict.pt")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoint.pt, weights.pt, curves.csv, PNGs"
    )
    parser.add_argument("--channels", type=int, default=8, help="of the latent of our own autoencoder")
    parser.add_argument("--autoencoder", type=Path, help="weights.pt or checkpoint.pt of the first stage")
    parser.add_argument("--autoencoder-kl", type=Path, help="folder of diffusers' AutoencoderKL instead")
    parser.add_argument("--mean", type=Path, help="weights.pt or checkpoint.pt of cxr-x4, for few-step")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    parser.add_argument("--initial", type=Path, help="weights.pt of an earlier run of the stage to start from")
    parser.add_argument("--rollout", type=float, help="share of late few-step batches from the network's own steps")
    parser.add_argument("--lpips-weight", type=float, help="of LPIPS beside the pixels' error")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--sharpen-from", type=float, help="share of the run after which LPIPS counts")
    parser.add_argument("--resume", action="store_true", help="continue from OUT/checkpoint.pt")
    parser.add_argument("--validate-every", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--validate-on", type=int, default=12, metavar="PICTURES")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    recipe = changed(RECIPES[arguments.stage], arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    train_on, validate_on = read_pictures(arguments.pictures, arguments.validation)
    validator = LatentValidator(validate_on[:: max(1, len(validate_on) // arguments.validate_on)], arguments.lpips)
    sampler = PairSampler(train_on, recipe.seed)
    stage, validate = build(arguments, recipe, sampler, validator)
    if arguments.initial:
        stage.network.load_state_dict(read_weights(arguments.initial))
    trainer = Trainer(stage, recipe, sampler, arguments.steps, arguments.minutes)
    if arguments.resume:
        trainer.restore(arguments.out / "checkpoint.pt")
    count = sum(p.numel() for p in stage.network.parameters())
    print(f"{arguments.stage}: {count} parameters, {len(train_on)} pictures, {recipe}", flush=True)
    print("bicubic " + " ".join(f"{k}={v:.4g}" for k, v in validator.baseline.items()), flush=True)
    train(trainer, validate, arguments.out, arguments.validate_every)


def changed(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """Return the recipe with what the command line says instead."""
    given = {field.name: getattr(arguments, field.name, None) for field in fields(recipe)}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the averaged weights of a finished run or of a checkpoint."""
    state = torch.load(path, weights_only=False)
    return state.get("averaged", state)


def read_pictures(folder: Path, validation: Path | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return training and validation pictures, uint8; by the split of one folder where ``validation`` is None."""
    pictures = read_folder(folder)
    if validation is not None:
        return list(pictures.values()), list(read_folder(validation).values())
    train_on, validate_on, _ = split(pictures)
    return [pictures[name] for name in train_on], [pictures[name] for name in validate_on]


def read_latents(autoencoder: Path | None, kl: Path | None, channels: int) -> tuple[Latents, int]:
    """Return the frozen autoencoder and its latent channels."""
    if kl is not None:
        from export.models.autoencoder_kl import DiffusersAutoencoder

        found = DiffusersAutoencoder.read(kl)
        return found, found.channels
    if autoencoder is None:
        raise SystemExit(
            "this stage needs --autoencoder (weights.pt of the first stage) or --autoencoder-kl (a folder)"
        )
    network = GreyAutoencoder(channels)
    network.load_state_dict(read_weights(autoencoder))
    return network.eval().requires_grad_(False), channels


def build(
    arguments: argparse.Namespace, recipe: Recipe, sampler: PairSampler, validator: LatentValidator
) -> tuple[Stage, Validate]:
    """Return the stage, ready to train, and how it is validated."""
    if arguments.stage == "autoencoder":
        autoencoder = GreyAutoencoder(arguments.channels)
        autoencoder.begin(*klt(sampler.pictures))
        return AutoencoderStage(recipe, autoencoder, arguments.lpips), validator.round_trip
    latents, channels = read_latents(arguments.autoencoder, arguments.autoencoder_kl, arguments.channels)
    if arguments.stage == "epsilon":
        return (
            EpsilonStage(recipe, UNetLite(channels), latents),
            lambda network, picture: validator.epsilon(network, latents, picture),
        )
    if arguments.mean is None:
        raise SystemExit("few-step needs --mean (weights.pt of cxr-x4)")
    mean = MeanEnlarger.read(arguments.mean)
    few = FewStepStage(recipe, UNetLite(channels, predicts_x0=True), latents, mean, arguments.lpips)
    few.begin(*sampler.batch(4 * recipe.batch, recipe.side))
    return few, lambda network, picture: validator.few_step(network, latents, mean, picture)


def train(trainer: Trainer, validate: Validate, out: Path, interval: float) -> None:
    """Run to the end, with a checkpoint every two minutes and a validation every ``interval`` seconds."""
    saved = validated = time.monotonic()
    totals: dict[str, float] = {}
    counts: dict[str, int] = {}
    first = trainer.step
    while trainer.progress < 1:
        for name, value in trainer.advance().items():
            totals[name], counts[name] = totals.get(name, 0) + value, counts.get(name, 0) + 1
        now = time.monotonic()
        is_last = trainer.progress >= 1
        if now - saved < CHECKPOINT_SECONDS and not is_last:
            continue
        trainer.save(out / "checkpoint.pt")
        row = {"seconds": round(trainer.seconds, 1), "steps/s": (trainer.step - first) / (now - saved)}
        row |= {name: total / counts[name] for name, total in totals.items()}
        totals, counts, first = {}, {}, trainer.step
        if now - validated >= interval or is_last:
            row |= validate(trainer.averaged, out / "validation.png")
            validated = time.monotonic()
        append(out / "curves.csv", trainer.step, row)
        print(
            f"{100 * trainer.progress:.0f} % step={trainer.step} " + " ".join(f"{k}={v:.4g}" for k, v in row.items()),
            flush=True,
        )
        saved = time.monotonic()
    torch.save(trainer.averaged.state_dict(), out / "weights.pt")


if __name__ == "__main__":
    main()
