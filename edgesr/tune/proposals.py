"""Settings that are worth a try, given one that is good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgesr.model import ModelDescriptor
from edgesr.tune.candidate import CLASS_OF, Candidate, Consistency, Projection, config_of

_SHARES = (1.0, 2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 10, 1 / 15, 1 / 30)
"""Of the training timesteps, by which the encoded input is diffused before the first step."""
_UNDIFFUSED = (1 / 6, 1 / 10, 1 / 15, 1 / 30, 1 / 60)
"""The same where no noise is added, and the network told so all the same."""
_STEPS = (1, 2, 3, 4, 6, 10, 20, 50)
_SEVERAL = (2, 3, 4, 8)


def starts(descriptor: ModelDescriptor, own: Candidate, most: int) -> list[Candidate]:
    """Return starts and numbers of steps, with the sampler that most networks take few steps with."""
    count = config_of(descriptor).num_train_timesteps
    sampler = own.sampler if own.sampler == "resshift" else "dpm++2m"
    base = replace(own, sampler=sampler, samples=1, fidelity=None, spacing=None)
    places: list[tuple[str, int | None]] = []
    if own.sampler != "resshift":
        places += [("noise", None)]
        places += [("input", t) for t in dict.fromkeys(max(round(share * count) - 1, 0) for share in _UNDIFFUSED)]
    places += [("noised", t) for t in dict.fromkeys(max(round(share * count) - 1, 0) for share in _SHARES)]
    numbers = sorted({n for n in (*_STEPS, most) if n <= min(most, count)})
    return [
        replace(base, start=start, start_timestep=t, steps=n)  # type: ignore[arg-type]
        for start, t in places
        for n in numbers
        if t is None or n <= t + 1
    ]


def samplers(descriptor: ModelDescriptor, candidate: Candidate) -> Iterable[Candidate]:
    """Yield the other samplers, and where the whole diffusion is walked the other spacings."""
    if candidate.sampler == "resshift":
        return
    for sampler in CLASS_OF:
        if sampler == "resshift":
            continue
        yield replace(candidate, sampler=sampler)
        if candidate.start_timestep is None and candidate.steps > 1:
            yield from (replace(candidate, sampler=sampler, spacing=s) for s in ("leading", "trailing", "linspace"))


def repeated(candidate: Candidate, most: int) -> Iterable[Candidate]:
    """Yield several samples, and where between one and their mean the picture lies."""
    for samples in _SEVERAL:
        steps = min(candidate.steps, most // samples)
        if steps and candidate.start != "input":
            yield replace(candidate, samples=samples, steps=steps, fidelity=1.0)
            yield replace(candidate, samples=samples, steps=steps, fidelity=0.5)


def projected(candidate: Candidate) -> Iterable[Candidate]:
    """Yield the ways to agree with the measurement."""
    projections: Sequence[Projection] = ("oblique", "orthogonal")
    modes: Sequence[Consistency] = ("final", "every-step")
    yield replace(candidate, consistency="off")
    for mode in modes if candidate.steps > 1 else modes[:1]:
        yield from (replace(candidate, consistency=mode, projection=projection) for projection in projections)
