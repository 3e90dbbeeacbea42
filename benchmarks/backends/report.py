"""The comparison of runtimes as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backends.sides import AUTO, EAGER
from benchmarks.page import head, preliminary, table
from benchmarks.timing import ratios, summarize

if TYPE_CHECKING:
    from benchmarks.backends.command import Comparison, Results

ORDER = (EAGER, "torch.compile", "ONNX Runtime", "OpenVINO fp32", "OpenVINO bf16", AUTO)


def render(results: Results) -> str:
    """Lay the results out: times, speed against PyTorch eager, auto against the best, what was picked and left out."""
    environment = results.environment
    clock = {"wall": "wall clock", "cpu": "CPU time of the process"}[results.clock]
    facts = [
        f"{results.threads} thread(s); times are the {clock}; load per core before {environment.load}, after "
        f"{results.load_after}",
        *preliminary(environment),
    ]
    lines = [
        head("Runtimes on a CPU", environment, *facts),
        "",
        "Milliseconds of one run, median (quartiles); all sides take turns in one process, one run each per round. The "
        "papers' networks have seeded weights. `edgesr auto` and OpenVINO run through edgesr's seam into bound "
        "buffers, the others as their users call them.",
        "",
        table(("network", "input", "runs", *ORDER), [_times(it) for it in results.comparisons]),
        "",
        "Speed against PyTorch eager, median of the ratios within rounds, and `auto` against the fastest other FP32 "
        "side (below 1 is slower):",
        "",
        table(("network", *ORDER[1:], "auto / best"), [_speeds(it) for it in results.comparisons]),
        "",
        "What `auto` said, and the largest difference to PyTorch eager, relative to the largest value:",
        "",
        *(f"* {it.network}: {it.picked or 'nothing'}; {_differences(it)}" for it in results.comparisons),
    ]
    absent = {(name, reason) for it in results.comparisons for name, reason in it.absent.items()}
    lines += ["", *(f"* {name}: left out: {reason}" for name, reason in sorted(absent))] if absent else []
    lines += [f"* {name}: left out: {reason}" for name, reason in results.left_out.items()]
    return "\n".join(lines) + "\n"


def _times(comparison: Comparison) -> list[str]:
    cells = [summarize(comparison.samples[n]).text(1e3, 1) if n in comparison.samples else "-" for n in ORDER]
    rounds = len(next(iter(comparison.samples.values())))
    return [comparison.network, comparison.size, str(rounds), *cells]


def _speeds(comparison: Comparison) -> list[str]:
    samples = comparison.samples
    cells = [f"{summarize(ratios(samples[EAGER], samples[n])).text()}x" if n in samples else "-" for n in ORDER[1:]]
    others = [n for n in ORDER if n in samples and n not in (AUTO, "OpenVINO bf16")]
    best = min(others, key=lambda n: summarize(samples[n]).median)
    against = summarize(ratios(samples[best], samples[AUTO])).text() if AUTO in samples else "-"
    return [comparison.network, *cells, f"{against} ({best})"]


def _differences(comparison: Comparison) -> str:
    found = (f"{name} {comparison.differences[name]:.1e}" for name in ORDER[1:] if name in comparison.differences)
    return ", ".join(found)
