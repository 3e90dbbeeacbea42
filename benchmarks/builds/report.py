"""The report of the build benchmark as Markdown, which is also what the terminal shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.page import head, section
from benchmarks.timing import summarize
from edgesr.compile.gate import DEFAULTS

if TYPE_CHECKING:
    from benchmarks.builds.accuracy import Row
    from benchmarks.builds.command import Results
    from benchmarks.builds.engines import EngineTimes

TARGET = 0.05
"""Time that a graph may take above the sum of its kernels."""


def render(results: Results) -> str:
    """Lay all results out in tables, each with its protocol above it."""
    return "\n\n".join([_head(results), _accuracy(results), _engines(results), _pytorch(results)]) + "\n"


def _head(results: Results) -> str:
    environment = results.environment
    facts = [f"{name}: {told}" for name, told in results.data.items()]
    if results.no_gpu:
        facts.append(f"**No engine was built or timed: {results.no_gpu}.**")
    if results.plan.is_quick:
        facts.append("**A quick check with few samples, not a result.**")
    return head("Build", environment, *facts)


def _accuracy(results: Results) -> str:
    rows = [_accuracy_row(row) for row in results.accuracy]
    gates = ", ".join(f"{kind} {it.min_psnr:g} dB" for kind, it in DEFAULTS.items() if it.min_psnr is not None)
    return section(
        "Accuracy and size, on the CPU",
        "The whole pipeline in each precision against FP32, pictures in [0, 1] cut to their middle 64 x 64 pixels. "
        "PSNR and SSIM are the lowest of all comparisons, the difference is the largest, in 255ths. FP16 is "
        "rounded as it is stored (edgesr/compile/emulate.py); the column ONNX Runtime is what that library makes "
        f"of the file on this CPU. INT8 that misses its gate gives layers up, as `edgesr build` does. Gates: {gates}.",
        [
            "network", "precision", "nodes", "reduced", "ONNX KiB", "PSNR dB", "mean", "SSIM", "difference / 255",
            "ONNX Runtime PSNR dB", "gate", "layers given up",
        ],
        rows,
    )  # fmt: skip


def _accuracy_row(row: Row) -> list[str]:
    if row.note:
        return [row.network, row.precision, row.note, *[""] * 9]
    return [
        row.network,
        row.precision,
        ", ".join(f"{count} {kind}" for kind, count in row.nodes.items()),
        f"{row.share:.1%}",
        f"{row.bytes / 1024:.0f}",
        _decibels(row.against_fp32, "min_psnr"),
        _decibels(row.against_fp32, "mean_psnr"),
        "" if row.against_fp32["min_ssim"] is None else f"{row.against_fp32['min_ssim']:.5f}",
        f"{row.against_fp32['max_abs'] * 255:.3f}",
        _decibels(row.in_onnxruntime, "min_psnr"),
        "passed" if row.within_gate else "missed",
        str(row.kept_out),
    ]


def _decibels(record: dict[str, Any], name: str) -> str:
    return "equal" if record[name] is None else f"{record[name]:.1f}"


def _engines(results: Results) -> str:
    if results.no_gpu:
        return f"## Engines\n\nNot run: {results.no_gpu}."
    return section(
        "Engines",
        f"Medians of {results.plan.rounds} runs in ms. *Enqueue* and *graph* lie between two CUDA events on the "
        "stream, *with transfers* is host to device, run and device to host on the host's clock, *kernels* the sum of "
        f"what TensorRT's profiler reports for each layer. Overhead is graph over kernels; target {TARGET:.0%}. "
        "Difference: largest of any output from ONNX Runtime's FP32, relative to its largest value.",
        [
            "network", "precision", "input", "layers", "build s", "MiB", "enqueue", "graph", "with transfers",
            "kernels", "overhead", "within target", "difference",
        ],
        [_engine_row(times) for times in results.engines],
    )  # fmt: skip


def _engine_row(times: EngineTimes) -> list[str]:
    if times.note:
        return [times.network, times.precision, times.shape, times.note, *[""] * 9]
    fastest = times.graph or times.plain
    kernels = summarize(times.kernels).median
    overhead = summarize(fastest).median / kernels - 1 if kernels > 0 else float("nan")
    return [
        times.network,
        times.precision,
        times.shape,
        ", ".join(f"{count} {kind}" for kind, count in times.layers.items()),
        f"{times.build_seconds:.0f}",
        f"{times.bytes / (1 << 20):.1f}",
        summarize(times.plain).text(digits=3),
        summarize(times.graph).text(digits=3) if times.graph else f"none: {times.graph_refusal}",
        summarize(times.with_transfers).text(digits=3),
        f"{kernels:.3f}",
        f"{overhead:.1%}",
        "yes" if overhead <= TARGET else "no",
        f"{max(times.output.values(), default=float('nan')):.2e}",
    ]


def _pytorch(results: Results) -> str:
    if results.no_gpu:
        return f"## Against PyTorch\n\nNot run: {results.no_gpu}."
    return section(
        "Against PyTorch",
        "One forward pass of the same network with the same weights, tensors on the GPU, synchronised before and "
        "after, in ms; compile is `torch.compile(mode='max-autotune')`.",
        ["network", "precision", "mode", "picture", "ms"],
        [
            [it.network, it.precision, it.mode, it.shape, summarize(it.times).text(digits=3) if it.times else it.note]
            for it in results.pytorch
        ],
    )
