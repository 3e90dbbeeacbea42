"""Train a chest X-ray x4 network: ``python -m export.recipes.cxr --data DIR --lpips DIR --out DIR --model cxr-x4``.

Two phases, each under its own cosine: first the mean, then with the mean as it is the error scale and the detail,
judged by LPIPS (squeeze) under a penalty on period-4 lattices. The network is told each crop's degradation, in part of
them with doubt, as at run time. Runs on a CPU in float32; a run that was stopped goes on with ``--resume``, a new one
may start from ``--initial``.
"""

import argparse
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from export import losses
from export.data.xray import CropSampler, check_patients, read_folder
from export.lpips import Lpips
from export.models.cxr import MODELS, CxrSuperResolution
from export.models.resample import DEGRADATIONS, Downscalers
from export.recipes.curves import append
from export.recipes.cxr_settings import CHOSEN, RECIPES, Recipe
from export.recipes.validation import Validator
from export.weights_cxr import load_weights

CHECKPOINT_SECONDS = 120


class Trainer:
    """Hold everything that changes during a run, so that a checkpoint is one dictionary."""

    def __init__(self, model: str, recipe: Recipe, data: Path, lpips: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network = MODELS[model]().to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
        )
        self.sampler = CropSampler(read_folder(data / "cxr" / "train").values(), recipe.mixture, recipe.seed)
        self.downscalers = Downscalers()
        self.lpips = Lpips("squeeze", lpips)
        self.step = 0

    def advance(self) -> dict[str, float]:
        """Take one optimizer step; return its losses."""
        recipe = self.recipe
        first = round(recipe.mean_share * recipe.steps)
        sharpen = self.step >= first
        start, end = (first, recipe.steps) if sharpen else (0, first)
        warm = min(1, (self.step - start + 1) / recipe.warmup)
        rate = recipe.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * (self.step - start) / (end - start)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate + 1e-6
        for parameter in self.network.mean_parameters():
            parameter.requires_grad_(not sharpen)
        terms = self._losses(*self.sampler.batch(recipe.batch, recipe.side), sharpen)
        loss = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(recipe.average, (1 + self.step) / (10 + self.step))
        for averaged, current in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            averaged.lerp_(current, 1 - decay)
        return {name: float(value.detach()) for name, value in terms.items()}

    def _losses(self, low: Tensor, high: Tensor, kinds: Tensor, sharpen: bool) -> dict[str, Tensor]:
        recipe = self.recipe
        shares = self._shares(kinds)
        image = low.contiguous(memory_format=torch.channels_last)
        if sharpen:
            mean, detail, log_scale = self.network.heads(image, shares)
        else:
            mean = self.network.mean(image, shares)
        unfiltered, mean = mean.detach(), self.network.filter(mean, low)
        terms = {
            "mean": losses.charbonnier(mean, high),
            "mean squared": recipe.squared_weight * functional.mse_loss(mean, high),
            "measurement": recipe.measurement_weight * losses.measurement(self.downscalers, mean, low, kinds),
        }
        if sharpen:
            sharp = self.network.filter(unfiltered + detail, low)
            scale = CxrSuperResolution.laplace_scale(log_scale)
            error = ((mean - high).abs() + (sharp - high).abs()).detach() / 2
            y, x = (int(v) for v in torch.randint(0, high.shape[-1] - recipe.lpips_side + 1, (2,)))
            window = (..., slice(y, y + recipe.lpips_side), slice(x, x + recipe.lpips_side))
            terms |= {
                "scale": recipe.scale_weight * losses.laplace_likelihood(error, scale),
                "sharp": losses.charbonnier(sharp, high),
                "lpips": recipe.lpips_weight * self.lpips(sharp[window], high[window]).mean(),
                "sharp measurement": recipe.measurement_weight
                * losses.measurement(self.downscalers, sharp, low, kinds),
                "lattice": recipe.lattice_weight * losses.lattice(detail),
                "flat": recipe.flat_weight * self._detail_of_flat_pictures(shares),
            }
        return terms

    def _detail_of_flat_pictures(self, shares: Tensor) -> Tensor:
        """Return the largest absolute detail of pictures of one grey: they have none but what zeros around make."""
        grey = torch.rand(len(shares), 1, 1, 1).square()
        flat = grey.expand(-1, -1, 12, 12)
        return self.network.heads(flat, shares).detail.abs().amax((1, 2, 3)).mean()

    def _shares(self, kinds: Tensor) -> Tensor:
        """Return what the network is told of the degradations ``(N, 3)``: mostly the truth, sometimes a doubt."""
        truth = functional.one_hot(kinds, len(DEGRADATIONS)).float()
        guess = torch.softmax(2 * torch.randn_like(truth), dim=1)
        doubt = torch.rand(len(kinds), 1) / 2 * (torch.rand(len(kinds), 1) < self.recipe.doubt)
        return truth.lerp(guess, doubt)

    def save(self, path: Path) -> None:
        """Write a checkpoint; the file is complete or absent."""
        part = path.with_suffix(".part")
        torch.save(
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "sampler": self.sampler.state,
                "torch": torch.get_rng_state(),
            },
            part,
        )
        part.replace(path)

    def begin(self, sources: Sequence[str]) -> None:
        """Take the weights of earlier runs or of packages, their mean where they are several."""
        for network in (self.network, self.averaged):
            load_weights(network, *sources)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of `save`."""
        state: dict[str, Any] = torch.load(path, weights_only=False)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.state = state["sampler"]
        torch.set_rng_state(state["torch"])
        self.step = state["step"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with cxr/train and cxr/val (512 px NIH PNGs)")
    parser.add_argument("--lpips", type=Path, required=True, help="folder with lpips_{alex,squeeze}_state_dict.pt")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt, curves.csv, validation.png")
    parser.add_argument("--model", choices=MODELS, default="cxr-x4")
    parser.add_argument("--steps", type=int, help="length of the whole run, instead of the recipe's")
    parser.add_argument("--learning-rate", type=float, help="the highest one, instead of the recipe's")
    parser.add_argument(
        "--mean-share", type=float, help="the first phase's part of the steps: 1 for the mean alone, 0 for the detail"
    )
    parser.add_argument("--seed", type=int, help="of the crops and the drawn weights, instead of the recipe's")
    parser.add_argument(
        "--initial", nargs="+", help="weights.pt of a run, or a package or its name, to start from; several: their mean"
    )
    parser.add_argument("--resume", action="store_true", help="continue from OUT/checkpoint.pt")
    parser.add_argument("--validate-every", type=float, default=480, metavar="SECONDS")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    given = {name: getattr(arguments, name) for name in CHOSEN if getattr(arguments, name) is not None}
    recipe = replace(RECIPES[arguments.model], **given)
    try:
        check_patients(arguments.data)
        trainer = Trainer(arguments.model, recipe, arguments.data, arguments.lpips)
        if arguments.initial:
            trainer.begin(arguments.initial)
    except ValueError as error:
        parser.error(str(error))
    if arguments.resume and not (arguments.out / "checkpoint.pt").exists():
        parser.error(f"{arguments.out} has no checkpoint.pt to resume from: leave --resume out to begin anew")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.resume:
        trainer.restore(arguments.out / "checkpoint.pt")
    print(f"{arguments.model}: {sum(p.numel() for p in trainer.network.parameters())} parameters, {recipe}", flush=True)
    train(trainer, Validator(arguments.data, arguments.lpips), arguments.out, arguments.validate_every)


def train(trainer: Trainer, validator: Validator, out: Path, interval: float) -> None:
    """Run the recipe to its end, with a checkpoint every two minutes and a validation every ``interval`` seconds."""
    started = saved = validated = time.monotonic()
    totals: dict[str, float] = {}
    counted = 0
    while trainer.step < trainer.recipe.steps:
        for name, value in trainer.advance().items():
            totals[name] = totals.get(name, 0) + value
        counted += 1
        now, is_last = time.monotonic(), trainer.step == trainer.recipe.steps
        if now - saved < CHECKPOINT_SECONDS and not is_last:
            continue
        trainer.save(out / "checkpoint.pt")
        row = {"seconds": round(now - started, 1), "steps/s": counted / (now - saved)}
        row |= {name: value / counted for name, value in totals.items()}
        totals, counted = {}, 0
        if now - validated >= interval or is_last:
            row |= validator.scores(trainer.averaged, out / "validation.png")
            validated = time.monotonic()
        append(out / "curves.csv", trainer.step, row)
        print(f"step={trainer.step} " + " ".join(f"{k}={v:.4g}" for k, v in row.items()), flush=True)
        saved = time.monotonic()
    torch.save(trainer.averaged.state_dict(), out / "weights.pt")


if __name__ == "__main__":
    main()
