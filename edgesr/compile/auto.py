"""Search the cheapest precision that passes the accuracy gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgesr.compile.feeds import Feed
from edgesr.compile.gate import Thresholds, Verdict
from edgesr.compile.graph import Graph
from edgesr.compile.lowering import Lowering, fp16_lowering, int8_lowering
from edgesr.compile.ranges import Ranges
from edgesr.compile.sensitivity import LayerLoss, fewest_skips, sweep
from edgesr.compile.typed import Options, Precision, Typed, convert, cost
from edgesr.errors import AccuracyError, BuildError, ModelError

Rank = Callable[[Typed], float]
"""Return the milliseconds that a network takes, measured; raise BuildError or AccuracyError for one that cannot be."""


class UnfitError(ModelError):
    """A network of which nothing can have the precision that was asked for."""


@dataclass(frozen=True)
class Trial:
    """One network that was tried."""

    precision: Precision
    skipped: int
    """Layers that were given up: kept out of INT8, or of FP16."""
    cost: float
    """Estimated arithmetic, 1 for FP32; see ``cost``."""
    psnr: float
    worst_picture: str
    passed: bool


@dataclass(frozen=True)
class Choice:
    """A network with its comparison."""

    typed: Typed
    verdict: Verdict
    trials: tuple[Trial, ...] = ()
    losses: tuple[LayerLoss, ...] = ()
    """The sensitivity sweep, the layer that loses most first; empty where none was needed."""
    given_up: tuple[str, ...] = ()
    """Layers that stay out of the precision so that the gate is passed, the worst first."""
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """Measured time of every precision that was ranked; empty where the estimate decided."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Precisions that the network cannot have, or that passed here and could not be measured, with the reason."""

    @property
    def unsuccessful(self) -> str:
        """How far the gate was missed with the most layers given up; empty where none was or it helped."""
        last = max(self.trials, key=lambda trial: trial.skipped, default=None)
        if last is None or not last.skipped or self.given_up:
            return ""
        layers = "the layer" if last.skipped == 1 else f"the {last.skipped} layers"
        lose = "loses" if last.skipped == 1 else "lose"
        return f"without {layers} that {lose} most it still misses it, at {last.psnr:.1f} dB"


class Evaluate(Protocol):
    """Compares a typed network with FP32 through the whole pipeline."""

    def __call__(self, typed: Typed, only: str | None = None, /) -> Verdict:
        """Compare on all pictures, or on the one that an entry of an earlier verdict names."""


class Search:
    """Tries networks of one model and remembers what came out."""

    def __init__(
        self,
        graph: Graph,
        ranges: Ranges,
        feeds: Sequence[Feed],
        options: Options,
        *,
        evaluate: Evaluate,
        thresholds: Thresholds,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self._graph = graph
        self._ranges = ranges
        self._feeds = feeds
        self._options = options
        self._evaluate = evaluate
        self._thresholds = thresholds
        self._on_step = on_step
        self._trials: list[Trial] = []

    def mixed(self, precision: Precision) -> Choice:
        """Return the network with as many layers in this precision as the gate allows; the whole, where it allows none.

        That one misses the gate; its trials say what was tried. Raise UnfitError where nothing can have the precision.
        """
        found: dict[tuple[str, ...], tuple[Typed, Verdict]] = {}

        def passes(skip: Sequence[str]) -> bool:
            typed = convert(self._graph, self._ranges, precision, self._options, skip=skip)
            if typed.obstacle and not skip:
                raise UnfitError(f"{self._graph.source}: {typed.obstacle}")
            if typed.obstacle:
                return False
            if found:  # most that fail do so on the picture that was the worst before
                worst = found[()][1].worst[0]
                first = self._evaluate(typed, worst)
                if first.failures(replace(self._thresholds, min_agreement=None)):
                    return self._note(typed, first, len(skip))
            found[tuple(skip)] = (typed, self._evaluate(typed))
            return self._note(typed, found[tuple(skip)][1], len(skip))

        if passes(()) or precision == "fp32":
            return Choice(*found[()], tuple(self._trials))
        lowering = self._lowering(precision)
        losses = sweep(self._graph, lowering, self._feeds, on_step=self._on_step) if lowering.most else ()
        skip = fewest_skips(losses, lambda names: bool(names) and passes(names), most=lowering.most) or ()
        return Choice(*found[skip], tuple(self._trials), losses, skip)

    def _lowering(self, precision: Precision) -> Lowering:
        if precision == "fp16":
            return fp16_lowering(self._graph, self._ranges, self._options.rules())
        return int8_lowering(self._graph, self._ranges, self._options.quantize_options())

    def cheapest(self, *, with_int8: bool = True, rank: Rank | None = None) -> Choice:
        """Try INT8 beside FP16, INT8, FP16 and FP32, and return the fastest by ``rank``, else the cheapest by estimate.

        INT8 needs ranges of real data; ``with_int8`` says whether there are any. The estimate counts
        multiply-adds; which network is fastest on a device, only that device tells.
        """
        passed: list[Choice] = []
        unfit: dict[str, str] = {}
        kinds: tuple[Precision, ...] = ("int8-fp16", "int8", "fp16") if with_int8 else ("fp16",)
        for precision in kinds:
            try:
                passed += self._passing(precision)
            except ModelError as error:  # nothing to lower, or an opset or an operator that this precision cannot take
                unfit[precision] = str(error)
        if not passed or rank is not None:
            passed += self._passing("fp32")
        if not passed:
            tried = ", ".join(f"{it.precision} {it.psnr:.1f} dB on {it.worst_picture}" for it in self._trials)
            raise AccuracyError(
                f"{self._graph.source}: no precision reaches the gate, not even FP32 ({tried}); allow more with "
                "--min-psnr"
            )
        times, refused = _measured(passed, rank) if rank is not None else ({}, {})
        ranks = [times.get(choice.typed.precision, math.inf) if times else cost(choice.typed) for choice in passed]
        best = passed[ranks.index(min(ranks))]
        return replace(best, trials=tuple(self._trials), milliseconds=times, refused=unfit | refused)

    def _passing(self, precision: Precision) -> list[Choice]:
        choice = self.mixed(precision)
        return [] if choice.verdict.failures(self._thresholds) else [choice]

    def _note(self, typed: Typed, verdict: Verdict, skipped: int) -> bool:
        passed = not verdict.failures(self._thresholds)
        name, worst = verdict.worst
        self._trials.append(Trial(typed.precision, skipped, cost(typed), worst.psnr, name, passed))
        return passed


def _measured(passed: Sequence[Choice], rank: Rank) -> tuple[dict[str, float], dict[str, str]]:
    """Measure every candidate; raise the last reason where none can be."""
    times: dict[str, float] = {}
    refused: dict[str, str] = {}
    problem: BuildError | AccuracyError | None = None
    for choice in passed:
        try:
            times[choice.typed.precision] = rank(choice.typed)
        except (BuildError, AccuracyError) as error:
            problem = error
            refused[choice.typed.precision] = str(error)
    if problem is not None and not times:
        raise problem
    return times, refused
