"""Search the cheapest precision that passes the accuracy gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgesr.compile.feeds import Feed
from edgesr.compile.gate import Thresholds, Verdict
from edgesr.compile.graph import Graph
from edgesr.compile.int8 import QuantizeOptions
from edgesr.compile.ranges import Ranges
from edgesr.compile.sensitivity import LayerLoss, fewest_skips, sweep
from edgesr.compile.typed import Options, Precision, Typed, convert, cost
from edgesr.errors import AccuracyError, BuildError, ModelError

Rank = Callable[[Typed], float]
"""Return the milliseconds that a network takes, measured; raise BuildError or AccuracyError for one that cannot be."""


@dataclass(frozen=True)
class Trial:
    """One network that was tried."""

    precision: Precision
    skipped: int
    """Layers that were kept out of INT8."""
    cost: float
    """Estimated arithmetic, 1 for FP32; see ``cost``."""
    psnr: float
    worst_picture: str
    passed: bool


@dataclass(frozen=True)
class Choice:
    """A network that passed its gate."""

    typed: Typed
    verdict: Verdict
    trials: tuple[Trial, ...] = ()
    losses: tuple[LayerLoss, ...] = ()
    """The sensitivity sweep, the layer that loses most first; empty where none was needed."""
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """Measured time of every precision that was ranked; empty where the estimate decided."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Precisions that passed here and could not be measured, with the reason."""


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

    def mixed(self, precision: Precision) -> Choice | None:
        """Return the network with as many INT8 layers as the gate allows; None when it allows none."""
        found: dict[tuple[str, ...], tuple[Typed, Verdict]] = {}

        def passes(skip: Sequence[str]) -> bool:
            typed = convert(self._graph, self._ranges, precision, self._options, skip=skip)
            if typed.quantized is not None and not typed.quantized.quantized:
                return False
            if found:  # most that fail do so on the picture that was the worst before
                worst = found[()][1].worst[0]
                first = self._evaluate(typed, worst)
                if first.failures(replace(self._thresholds, min_agreement=None)):
                    return self._note(typed, first, len(skip))
            found[tuple(skip)] = (typed, self._evaluate(typed))
            return self._note(typed, found[tuple(skip)][1], len(skip))

        if passes(()):
            return Choice(*found[()], tuple(self._trials))
        if not found:
            return None
        chosen = QuantizeOptions(calibrator=self._options.calibrator, exclude=self._options.exclude)
        losses = sweep(self._graph, self._ranges, chosen, self._feeds, on_step=self._on_step)
        skip = fewest_skips(losses, lambda names: bool(names) and passes(names))
        return None if skip is None else Choice(*found[skip], tuple(self._trials), losses)

    def plain(self, precision: Precision) -> Choice | None:
        """Return the network in FP32 or FP16, None when it misses the gate."""
        typed = convert(self._graph, self._ranges, precision, self._options)
        verdict = self._evaluate(typed)
        return Choice(typed, verdict, tuple(self._trials)) if self._note(typed, verdict, 0) else None

    def cheapest(self, *, with_int8: bool = True, rank: Rank | None = None) -> Choice:
        """Try INT8 beside FP16, INT8, FP16 and FP32, and return the fastest by ``rank``, else the cheapest by estimate.

        INT8 needs ranges of real data; ``with_int8`` says whether there are any. The estimate counts
        multiply-adds; which network is fastest on a device, only that device tells.
        """
        passed: list[Choice] = []
        kinds: tuple[Precision, ...] = ("int8-fp16", "int8", "fp16") if with_int8 else ("fp16",)
        for precision in kinds:
            try:
                choice = self.plain(precision) if precision == "fp16" else self.mixed(precision)
            except ModelError:  # an opset or an operator that this precision cannot take
                continue
            passed += [choice] if choice is not None else []
        if not passed or rank is not None:
            full = self.plain("fp32")
            passed += [full] if full is not None else []
        if not passed:
            tried = ", ".join(f"{it.precision} {it.psnr:.1f} dB on {it.worst_picture}" for it in self._trials)
            raise AccuracyError(
                f"{self._graph.source}: no precision reaches the gate, not even FP32 ({tried}); allow more with "
                "--min-psnr"
            )
        times, refused = _measured(passed, rank) if rank is not None else ({}, {})
        ranks = [times.get(choice.typed.precision, math.inf) if times else cost(choice.typed) for choice in passed]
        best = passed[ranks.index(min(ranks))]
        return Choice(best.typed, best.verdict, tuple(self._trials), best.losses, times, refused)

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
