"""From coarse to fine: where to start, in how many steps, by which sampler, how true to the measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edgesr.errors import UsageError
from edgesr.model import ModelDescriptor
from edgesr.tune.candidate import Candidate, config_of, full, packaged
from edgesr.tune.proposals import projected, repeated, samplers, starts
from edgesr.tune.scores import Scores
from edgesr.tune.trial import Bench, Trial

COARSE = 4
"""Pictures that the first stages look at."""
_FINALISTS = 12
_MOST_EVALUATIONS = 50
_EQUAL = 0.002
"""Decades of error that make no difference: 0.5 %."""
_SLACK = 1.25
"""By how much a prediction of the time may be wrong before a candidate is not even tried."""


@dataclass(frozen=True)
class Budget:
    """What a picture may cost; None where it does not matter."""

    evaluations: int | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class Found:
    """The outcome of a search."""

    reference: Trial
    """The package's own sampler over all its training timesteps."""
    packaged: Trial
    """What the package does by itself."""
    trials: tuple[Trial, ...]
    """The finalists, on all pictures, the best first."""
    tried: int
    """Settings that were looked at."""

    @property
    def frontier(self) -> tuple[Trial, ...]:
        """The finalists that no other beats in evaluations, time and every score at once, the cheapest first."""
        front = [trial for trial in self.trials if not any(_dominates(other, trial) for other in self.trials)]
        return tuple(sorted(front, key=lambda trial: (trial.candidate.evaluations, trial.milliseconds)))

    @property
    def winner(self) -> Trial | None:
        """The best finalist that is below the reference in no score, None where there is none.

        Of those that are as good to ``_EQUAL``, the one of fewest evaluations, and then of least time.
        """
        reference = self.reference.mean()
        passing = [trial for trial in self.trials if not trial.mean().misses(reference)]
        if not passing:
            return None
        gains = {id(trial): trial.mean().gain(reference) for trial in passing}
        equal = [trial for trial in passing if gains[id(trial)] >= max(gains.values()) - _EQUAL]
        return min(equal, key=lambda trial: (trial.candidate.evaluations, trial.milliseconds))


class Search:
    """Looks for the best setting of a package within a budget; ``plan`` is told evaluations that are still to come."""

    def __init__(self, bench: Bench, budget: Budget, *, plan: Callable[[int], None] = lambda evaluations: None) -> None:
        self._bench = bench
        self._budget = budget
        self._plan = plan
        self._descriptor: ModelDescriptor = bench.pipeline.descriptor
        self._coarse = min(COARSE, len(bench.pairs))
        self._tried: dict[Candidate, Trial] = {}
        self._seen: set[Candidate] = set()
        self._ends = self._each = 0.0
        """Milliseconds of a picture apart from the network, and of one evaluation."""

    def run(self) -> Found:
        """Search, run the finalists on all pictures, and return them with the reference."""
        own, everything = packaged(self._descriptor), full(self._descriptor)
        pictures = len(self._bench.pairs)
        self._plan(sum(candidate.evaluations for candidate in {everything, own}) * pictures)
        self._bench.warm_up(replace(own, steps=1, samples=1, fidelity=None))
        reference = self._complete(everything)
        present = reference if own == everything else self._complete(own)
        self._scale = reference.mean(self._coarse)
        self._measure(own)
        most = self._most_evaluations()
        self._stage(starts(self._descriptor, own, most))
        self._stage(option for trial in self._best(4) for option in samplers(self._descriptor, trial.candidate))
        for _ in range(2):
            self._stage(option for trial in self._best(2) for option in self._nearer(trial.candidate, most))
        self._stage(option for trial in self._best(2) for option in repeated(trial.candidate, most))
        if self._descriptor.degradation is not None:
            self._stage(option for trial in self._best(3) for option in projected(trial.candidate))
        finalists = self._finalists(own)
        self._plan(sum(candidate.evaluations for candidate in finalists) * (pictures - self._coarse))
        trials = [trial for trial in map(self._bench.run, finalists) if trial is not None and self._fits(trial)]
        if not trials:
            raise UsageError(
                f"nothing takes less than {self._budget.milliseconds:g} ms: one evaluation takes {self._each:.0f} ms, "
                f"what stands around them {self._ends:.0f} ms; allow more with --budget"
            )
        whole = reference.mean()
        trials.sort(key=lambda trial: (bool(trial.mean().misses(whole)), -trial.mean().gain(whole)))
        return Found(reference, present, tuple(trials), len(self._seen))

    def _complete(self, candidate: Candidate) -> Trial:
        trial = self._bench.run(candidate)
        if trial is None:
            raise UsageError(
                f"model {self._descriptor.name}: {candidate.told()} makes NaN on these pictures, so there is nothing "
                "to compare with; mend the package first"
            )
        return trial

    def _measure(self, own: Candidate) -> None:
        """Find what an evaluation takes, and what stands around all of them."""
        base = replace(own, steps=1, samples=1, fidelity=None)
        more = replace(base, steps=min(5, config_of(self._descriptor).num_train_timesteps))
        if own.start_timestep is not None:
            more = replace(more, steps=min(5, own.start_timestep + 1))
        self._plan((base.steps + more.steps) * self._coarse)
        one, several = (self._bench.run(candidate, self._coarse) for candidate in (base, more))
        if one is not None and several is not None and more.steps > 1:
            self._each = max(several.milliseconds - one.milliseconds, 0.0) / (more.steps - 1)
            self._ends = max(one.milliseconds - self._each, 0.0)

    def _most_evaluations(self) -> int:
        """Return the network evaluations that the budget has room for."""
        most = self._budget.evaluations or _MOST_EVALUATIONS
        if self._budget.milliseconds is not None and self._each:
            room = (self._budget.milliseconds - self._ends) / self._each
            most = min(most, math.floor(room * _SLACK))
        if most < 1:
            raise UsageError(
                f"one evaluation takes {self._each:.0f} ms here and what stands around it {self._ends:.0f} ms; "
                f"a budget of {self._budget.milliseconds:g} ms has no room for it"
            )
        return most

    def _stage(self, candidates: Iterable[Candidate]) -> None:
        """Run those candidates on the coarse pictures that were not run before."""
        fresh = [candidate for candidate in dict.fromkeys(candidates) if candidate not in self._seen]
        self._seen.update(fresh)
        self._plan(sum(candidate.evaluations for candidate in fresh) * self._coarse)
        for candidate in fresh:
            trial = self._bench.run(candidate, self._coarse)
            if trial is not None and self._fits(trial):
                self._tried[candidate] = trial

    def _fits(self, trial: Trial) -> bool:
        limit = self._budget.milliseconds
        return limit is None or trial.milliseconds <= limit

    def _best(self, count: int) -> list[Trial]:
        return sorted(self._tried.values(), key=self._rank)[:count]

    def _rank(self, trial: Trial) -> tuple[bool, float]:
        """Order trials on the coarse pictures: those that miss nothing first, the best of them first."""
        scores: Scores = trial.mean(self._coarse)
        return bool(scores.misses(self._scale)), -scores.gain(self._scale)

    def _nearer(self, candidate: Candidate, most: int) -> Iterable[Candidate]:
        """Yield starts between this one and its neighbours, and one step more and less."""
        t = candidate.start_timestep
        if t is not None:
            others = sorted(
                {
                    trial.candidate.start_timestep
                    for trial in self._tried.values()
                    if trial.candidate.start == candidate.start and trial.candidate.start_timestep is not None
                }
            )
            place = others.index(t) if t in others else 0
            for other in (*others[max(place - 1, 0) : place], *others[place + 1 : place + 2]):
                between = round(math.sqrt((t + 1) * (other + 1))) - 1
                if between not in others:
                    yield replace(candidate, start_timestep=between)
        for steps in (candidate.steps - 1, candidate.steps + 1):
            if steps >= 1 and steps * candidate.samples <= most:
                yield replace(candidate, steps=steps)

    def _finalists(self, own: Candidate) -> list[Candidate]:
        """Return the best of the coarse pictures, and the front of what they cost and score."""
        ranked = self._best(len(self._tried))
        chosen = [trial.candidate for trial in ranked[: _FINALISTS // 2]]
        front = [t for t in ranked if not any(_dominates(other, t, self._coarse) for other in ranked)]
        chosen += [trial.candidate for trial in front[:_FINALISTS]]
        if own.evaluations <= (self._budget.evaluations or own.evaluations):
            chosen.append(own)
        return list(dict.fromkeys(chosen))[: _FINALISTS + 1]


def _dominates(first: Trial, second: Trial, pictures: int | None = None) -> bool:
    """Tell whether a trial is nowhere worse than another, and somewhere better."""
    ours, theirs = _costs(first, pictures), _costs(second, pictures)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs


def _costs(trial: Trial, pictures: int | None) -> tuple[float, ...]:
    scores = trial.mean(pictures)
    found = (float(trial.candidate.evaluations), trial.milliseconds, -scores.psnr, -scores.ssim, scores.gmsd)
    return found if scores.lpips is None else (*found, scores.lpips)
