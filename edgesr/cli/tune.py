"""``edgesr tune``: few-step settings for a latent diffusion that is already trained."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from edgesr.cli.diffusion_files import is_diffusion, packed_diffusion
from edgesr.cli.output import note, result_json
from edgesr.cli.progress import Progress
from edgesr.cli.run import expectations
from edgesr.cli.spinner import Spinner
from edgesr.cli.tune_report import document, show
from edgesr.errors import AccuracyError, ModelError, UsageError
from edgesr.model import ModelPackage
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.load import load, open_model
from edgesr.schedule import ScheduleConfig
from edgesr.tune.journal import Journal
from edgesr.tune.package import write_tuned
from edgesr.tune.pairs import Pair, digest, given_pairs, made_pairs
from edgesr.tune.scores import Scorer
from edgesr.tune.search import Budget, Found, Search
from edgesr.tune.trial import Bench

_SIDE = 64
"""Of the small pictures, where the package does not say what it was trained with."""


def execute(arguments: argparse.Namespace) -> int:
    """Search, show what was found, and write the winner; 5 where nothing reaches the full schedule."""
    if arguments.max_evaluations is None and arguments.budget is None:
        raise UsageError("say what a picture may cost: --max-evaluations 3, or --budget 50ms")
    has_pairs = arguments.lr is not None and arguments.hr is not None
    if has_pairs == (arguments.images is not None) or (arguments.lr is None) != (arguments.hr is None):
        raise UsageError("give pictures: large ones with --images, or pairs with --lr and --hr")
    with ExitStack() as stack:
        package = _package(arguments, stack)
        output = Path(arguments.output or f"{package.descriptor.name}-tuned.edgesr")
        pairs, told = _pairs(arguments, package)
        found = _search(arguments, package, pairs)
        winner = found.winner
        written = None
        if winner is not None:
            written = write_tuned(
                output, package, found, winner, name=arguments.name or output.stem, told=f"{told} (calibration)"
            )
        if arguments.json:
            result_json(document(found, written, told))
        else:
            show(found, written, told)
    if winner is not None:
        return 0
    best = found.trials[0]
    note(
        f"no setting in this budget reaches the full schedule of {found.reference.candidate.evaluations} evaluations: "
        f"the nearest is {best.candidate.told()}, whose {'; '.join(best.mean().misses(found.reference.mean()))}; "
        "nothing was written; allow more with --max-evaluations or --budget"
    )
    return AccuracyError.exit_code


def _package(arguments: argparse.Namespace, stack: ExitStack) -> ModelPackage:
    if not is_diffusion(arguments, arguments.model):
        if expectations(arguments):
            raise UsageError(f"{', '.join(expectations(arguments))} can be set for files only; the package says so")
        package = open_model(arguments.model)
    else:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesr-")))
        if arguments.steps is None:
            config = ScheduleConfig.read(arguments.schedule)
            arguments.steps = config.num_inference_steps or config.num_train_timesteps
        name = arguments.name or Path(arguments.output or "tuned").stem
        package = packed_diffusion(arguments, folder / "files.edgesr", name=name, version="1.0.0", fields={})
    task = package.descriptor.task
    if task != "latent-diffusion":
        raise ModelError(f"model {package.descriptor.name} has task {task!r}; only a latent diffusion can be tuned")
    return package


def _pairs(arguments: argparse.Namespace, package: ModelPackage) -> tuple[list[Pair], str]:
    """Return the pictures, and a sentence about them."""
    descriptor, count = package.descriptor, arguments.count
    side = arguments.side or (max(descriptor.size.fixed) if descriptor.size.fixed else descriptor.tile or _SIDE)
    if arguments.images is not None:
        pairs = made_pairs(descriptor, arguments.images, count=count, side=side)
        folder = arguments.images
    else:
        pairs = given_pairs(descriptor, arguments.lr, arguments.hr, count=count, side=side)
        folder = arguments.hr
    h, w = pairs[0].small.shape[:2]
    return pairs, f"{len(pairs)} picture{'s' if len(pairs) > 1 else ''} of {Path(folder).name}, {w} x {h}"


def _search(arguments: argparse.Namespace, package: ModelPackage, pairs: list[Pair]) -> Found:
    with Spinner(quiet=arguments.json) as spinner:
        pipeline = load(
            package.path, arguments.device, threads=arguments.threads, note=spinner.note, tick=spinner.tick,
            seed=arguments.seed,
        )  # fmt: skip
    assert isinstance(pipeline, LatentDiffusion)
    facts = (package.digest, digest(pairs), pipeline.device, arguments.threads, arguments.seed, arguments.lpips)
    done = planned = 0
    with ExitStack() as stack:
        stack.enter_context(pipeline)
        scorer = stack.enter_context(Scorer(Path(arguments.lpips) if arguments.lpips else None))
        journal = stack.enter_context(Journal(facts, restart=arguments.restart))
        progress = stack.enter_context(Progress("evaluations", quiet=arguments.json))
        if len(journal) and not arguments.json:
            note(f"{len(journal)} pictures were made by an earlier search; --restart makes them again")

        def count(evaluations: int) -> None:
            nonlocal done
            done += evaluations
            progress.show(min(done, planned), planned)

        def plan(evaluations: int) -> None:
            nonlocal planned
            planned += evaluations

        bench = Bench(pipeline, pairs, scorer, journal, on_picture=count)
        return Search(bench, Budget(arguments.max_evaluations, arguments.budget), plan=plan).run()
