"""MLPerf Inference's rules for the SingleStream scenario, as far as they concern the latency.

Inference rules, sections "Scenarios" and "Early Stopping": queries of one sample, one after the other, for 600 seconds;
the figure is the early-stopping estimate of the 90th percentile. The name MLPerf belongs to MLCommons; what is measured
here was not submitted and is no MLPerf result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

from edgesr.bench.record import Value

SECONDS = 600.0
QUERIES = 64
"""Least number with which early stopping gives an estimate."""
PERCENTILE = 0.9
CONFIDENCE = 0.99


def early_stopping(samples: Sequence[float]) -> float | None:
    """Return the least sample that the 90th percentile does not exceed with 99 % confidence, None for fewer than 64."""
    if len(samples) < QUERIES:
        return None
    return sorted(samples)[_rank(len(samples)) - 1]


def single_stream(samples: Sequence[float], seconds: float) -> dict[str, Value]:
    """Return the estimate in milliseconds with what it rests on, and whether duration and count follow the rules."""
    reasons = []
    if seconds < SECONDS:
        reasons.append(f"{seconds:.0f} s were measured, the rules ask for {SECONDS:.0f} s")
    if len(samples) < QUERIES:
        reasons.append(f"{len(samples)} queries were made, an estimate needs {QUERIES}")
    return {
        "p90_ms": early_stopping(samples),
        "queries": len(samples),
        "seconds": seconds,
        "is_compliant": not reasons,
        "reason": "; ".join(reasons),
    }


def sentence(found: Mapping[str, Value]) -> str:
    """Say the estimate and what it rests on, for people."""
    p90 = f"{found['p90_ms']:.3g} ms" if found["p90_ms"] is not None else "no estimate"
    ruled = "" if found["is_compliant"] else f", which is not by the rules: {found['reason']}"
    return (
        f"SingleStream, early-stopping estimate of the 90th percentile: {p90} of {found['queries']} queries{ruled}; "
        "not submitted to MLCommons, no MLPerf result"
    )


@cache
def _rank(count: int) -> int:
    """Return the least k with P(Binomial(count, 0.9) < k) >= 0.99, the rank of the estimate."""
    below, rank = 0.0, 0
    while below < CONFIDENCE:
        below += _probability(count, rank)
        rank += 1
    return rank


def _probability(count: int, successes: int) -> float:
    """Return P(Binomial(count, 0.9) = successes)."""
    choices = math.lgamma(count + 1) - math.lgamma(successes + 1) - math.lgamma(count - successes + 1)
    return math.exp(choices + successes * math.log(PERCENTILE) + (count - successes) * math.log(1 - PERCENTILE))
