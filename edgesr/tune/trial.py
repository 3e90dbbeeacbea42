"""Candidates run on pictures, scored and timed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from edgesr.errors import NonFiniteError, UsageError
from edgesr.image.convert import to_float
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.tune.candidate import Candidate
from edgesr.tune.journal import Journal
from edgesr.tune.pairs import Pair
from edgesr.tune.scores import Scorer, Scores


@dataclass(frozen=True)
class Trial:
    """What one candidate made of the first pictures."""

    candidate: Candidate
    scores: tuple[Scores, ...]
    """One for each picture."""
    milliseconds: float
    """Median of a picture, from pixels to pixels."""

    def mean(self, pictures: int | None = None) -> Scores:
        """Return the mean scores of the first pictures, None for all."""
        return Scores.mean(self.scores[:pictures])

    def document(self) -> dict[str, Any]:
        """Return plain JSON data: the setting, its cost, its mean scores."""
        return {
            **self.candidate.document(),
            "evaluations": self.candidate.evaluations,
            "milliseconds": self.milliseconds,
            "pictures": len(self.scores),
            **asdict(self.mean()),
        }


class Bench:
    """Runs candidates of one package on pairs, each picture of each once: what the journal knows is not run again.

    ``on_picture`` is told the network evaluations of each picture that is done or was known.
    """

    def __init__(
        self,
        pipeline: LatentDiffusion,
        pairs: Sequence[Pair],
        scorer: Scorer,
        journal: Journal,
        *,
        on_picture: Callable[[int], None] = lambda evaluations: None,
    ) -> None:
        self.pipeline = pipeline
        self.pairs = tuple(pairs)
        self._scorer = scorer
        self._journal = journal
        self._on_picture = on_picture
        self._told: set[str] = set()

    def run(self, candidate: Candidate, pictures: int | None = None) -> Trial | None:
        """Score a candidate on the first pictures, None for all; None for one that cannot be, or that makes NaN."""
        try:
            descriptor = candidate.descriptor(self.pipeline.descriptor)
        except UsageError:
            return None
        scores, seconds = [], []
        for index, pair in enumerate(self.pairs[:pictures]):
            key = json.dumps([candidate.document(), index])
            known = self._journal.get(key)
            if known is None:
                start = perf_counter()
                try:
                    made = self.pipeline.as_described(descriptor, pair.small)
                except UsageError:
                    return None
                except NonFiniteError:
                    self._journal.add(key, {})
                    return None
                spent = perf_counter() - start
                known = {**asdict(self._scorer(to_float(made), to_float(pair.large))), "seconds": spent}
                self._journal.add(key, known)
            if key not in self._told:
                self._told.add(key)
                self._on_picture(candidate.evaluations)
            if not known:
                return None
            seconds.append(known["seconds"])
            scores.append(Scores(*(known[name] for name in ("psnr", "ssim", "gmsd", "lpips"))))
        return Trial(candidate, tuple(scores), statistics.median(seconds) * 1e3)

    def warm_up(self, candidate: Candidate) -> None:
        """Run a candidate untimed, so that networks are loaded and buffers there."""
        self.pipeline.as_described(candidate.descriptor(self.pipeline.descriptor), self.pairs[0].small)
