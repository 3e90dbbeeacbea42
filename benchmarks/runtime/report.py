"""The report of the runtime benchmark as Markdown, which is also what the terminal shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.environment import Environment
from benchmarks.page import head, preliminary, section
from benchmarks.timing import ratios, summarize

if TYPE_CHECKING:
    from benchmarks.runtime.command import Results

TARGET = 0.03
"""Overhead over bare ONNX Runtime that the runtime may have."""
MIB = 1 << 20


def render(results: Results) -> str:
    """Lay all results out in tables, each with its protocol above it."""
    parts = [
        _head(results.environment, results),
        _starts(results),
        _overhead(results),
        _pytorch(results),
        _memory(results),
    ]
    return "\n\n".join(parts) + "\n"


def _head(environment: Environment, results: Results) -> str:
    facts = [f"Threads: {results.plan.threads}; load per core before {environment.load}, after {results.load_after}"]
    facts += preliminary(environment)
    if results.plan.loads == 1:
        facts.append("**A quick check with few samples, not a result.**")
    return head("Runtime", environment, *facts)


def _starts(results: Results) -> str:
    rows = [
        [f"`{start.command}`", summarize(start.wall).range_text(), summarize(start.cpu).range_text()]
        for start in results.starts
    ]
    return section(
        "Start-up",
        f"Fresh processes, {results.plan.starts} of each in turn after one that is not counted (files are in the page "
        "cache, bytecode is compiled, models are unpacked). Median [minimum - maximum]. The bare script imports numpy "
        "and onnxruntime, loads the network and runs it once on 64 x 64 zeros, without reading or writing a picture.",
        ["command", "wall s", "CPU s"],
        rows,
    )


def _overhead(results: Results) -> str:
    rows = []
    for comparison in results.overhead:
        over = summarize([ratio - 1 for ratio in ratios(comparison.first, comparison.second)])
        extra = summarize([(a - b) * 1e3 for a, b in zip(comparison.first, comparison.second, strict=True)])
        verdict = "yes" if over.median <= TARGET else "no"
        first, second = summarize(comparison.first).text(1e3), summarize(comparison.second).text(1e3)
        rows.append([comparison.subject, first, second, extra.text(), over.text(100), verdict])
    side = results.plan.side
    return section(
        "Overhead over bare ONNX Runtime",
        f"`edgesr.load(model)(picture)`, uint8 {side} x {side} in, uint8 {4 * side} x {4 * side} out, against "
        "`session.run` of the same file on the same pixels as float32, in turn with 50 ms of rest before each run; "
        f"{results.plan.loads} fresh loads of both x {results.plan.rounds} pairs. The restorer's time holds "
        "conversion, staging, rounding and checks. Median (quartiles); the last columns are of the "
        f"differences and ratios pair by pair. Target: {TARGET:.0%}.",
        ["network", "restorer ms", "session ms", "difference ms", "overhead %", "within target"],
        rows,
    )


def _pytorch(results: Results) -> str:
    rows = []
    for comparison in results.pytorch:
        if not comparison.first:
            rows.append([comparison.subject, comparison.note, "", ""])
            continue
        faster = summarize(ratios(comparison.second, comparison.first))
        speeds = [summarize([1 / s for s in samples]).text() for samples in (comparison.first, comparison.second)]
        rows.append([comparison.subject, *speeds, faster.text()])
    side = results.plan.side
    return section(
        "Against PyTorch eager",
        f"Pictures per second of the restorer (uint8 {side} x {side} in, uint8 out) and of the same network in PyTorch "
        "(float32 in and out, `inference_mode`, the same number of threads, weights copied out of the ONNX file, "
        "outputs checked against each other), in turn with 50 ms of rest before each run. Median (quartiles).",
        ["network", "edgesr pictures/s", "PyTorch pictures/s", "times faster"],
        rows,
    )


def _memory(results: Results) -> str:
    rows = [
        [
            item.model,
            f"{item.side} x {item.side}",
            f"{item.seconds:.2f}",
            f"{item.side**2 / item.seconds / 1e6:.3f}",
            f"{item.peak / MIB:.0f}",
            f"{item.increase / MIB:.0f}",
        ]
        for item in results.memory
    ]
    return section(
        "Memory and time of files",
        "`edgesr run` of one grey 8-bit PNG to PNG, one fresh process each. Peak is the highest resident memory of the "
        "process (VmHWM); the increase is over the same process after it had restored a 64 x 64 file. Seconds are from "
        "loading the model to closing the output, once each.",
        ["network", "input", "s", "input Mpixel/s", "peak MiB", "increase MiB"],
        rows,
    )
