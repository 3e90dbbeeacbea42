"""What ``edgesr build`` says about a network, in sentences and as JSON data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from edgesr.compile.auto import Choice
from edgesr.compile.gate import Verdict
from edgesr.compile.typed import Typed

_FIGURE = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def ranking(choice: Choice) -> list[str]:
    """Say how ``--auto`` chose: by measured engines, or by an estimate."""
    if choice.milliseconds:
        times = ", ".join(
            f"{kind} {value:.3g} ms" for kind, value in sorted(choice.milliseconds.items(), key=lambda item: item[1])
        )
        lines = [f"chosen by the measured time of engines on this GPU, without transfers: {times}"]
    else:
        passed = {trial.precision: trial.cost for trial in choice.trials if trial.passed}
        costs = ", ".join(f"{kind} {value:.0%}" for kind, value in sorted(passed.items(), key=lambda item: item[1]))
        lines = [
            "chosen by an estimate, nothing was timed: multiply-adds count a half in FP16 and a quarter in INT8; "
            f"against FP32: {costs}"
        ]
    return lines + [f"{kind} was left out: {reason}" for kind, reason in choice.refused.items()]


def versions(obstacles: Mapping[str, str]) -> list[str]:
    """Say which TensorRT versions take the operators and the opset, as far as tables tell."""
    takes = [version for version, obstacle in obstacles.items() if not obstacle]
    lines = [f"operators and opset are known to TensorRT {', '.join(takes)}"] if takes else []
    return lines + [f"TensorRT {version}: {obstacle}" for version, obstacle in obstacles.items() if obstacle]


def accuracy(verdict: Verdict) -> str:
    """Say how close to FP32 a network is."""
    agreed = f", {verdict.agreement.told()}" if verdict.agreement is not None else ""
    return _numbers(verdict) + agreed


def _numbers(verdict: Verdict) -> str:
    name, worst = verdict.worst
    if worst.psnr == math.inf:
        return f"on {len(verdict.pictures)} comparisons: no difference"
    ssim = min(difference.ssim for _, difference in verdict.pictures)
    largest = max(difference.max_abs for _, difference in verdict.pictures)
    lowest = f"on {len(verdict.pictures)} comparisons: PSNR at least {worst.psnr:.1f} dB ({name})"
    if math.isnan(ssim):
        return f"{lowest}, largest difference {largest:.2%} of the largest value"
    return f"{lowest}, SSIM at least {ssim:.5f}, largest difference {largest * 255:.3f} of 255 levels"


def kept(typed: Typed) -> list[str]:
    """Say how many nodes stay in which precision, and why; reasons that differ by their figures count as one."""
    lines = []
    for label, reasons in (
        ("in FP32", typed.half.fp32 if typed.half else {}),
        ("not in INT8", typed.quantized.skipped if typed.quantized else {}),
    ):
        counts: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            counts.setdefault(_FIGURE.sub("#", reason), []).append(name)
        lines += [f"{len(names)} {label}: {reasons[names[0]]} (e.g. {names[0]})" for names in counts.values()]
    return lines


def finite(value: Any) -> Any:
    """Return JSON data without infinities and NaN."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
