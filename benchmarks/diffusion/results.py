"""What the diffusion benchmark finds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Speed:
    """Seconds of one 64 x 64 picture by what made it, in turn; and how alike two pictures are."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    agreement: float = 0.0
    """PSNR of the 300 steps in edgesr against PyTorch's from the same noise, decibels, before rounding."""
    loop: list[float] = field(default_factory=list)
    """What steps spend beside their calls of the engine, in percent of these, for each of several pictures."""


@dataclass(frozen=True)
class Point:
    """Means over the pictures for one way of making them."""

    method: str
    evaluations: int
    psnr: float
    ssim: float
    lpips: float
    lpips_ratio: float
    residual: float
    """Root mean square beyond clipping and rounding, in grey levels, as written."""
    residual_most: float
    orthogonal_gain: float
    """What the orthogonal projection adds to PSNR, in decibels, before rounding."""
    orthogonal_worst: float
    """The same on the picture where it is least."""


(
    FULL,
    FULL_PROCESS,
    PUBLISHED,
    PROCESS,
    EAGER,
    SAME,
    LOOP,
    SHORT,
    BARE,
    COMMAND,
    FOLDER,
    CALL,
    FOLDER_VINO,
    CALL_VINO,
) = (
    "the published size in PyTorch eager, 300 steps, state through numpy",
    "the published size, a process from start to written PNG",
    "PyTorch eager, 300 steps, state through numpy",
    "the same, a process from start to written PNG",
    "PyTorch eager, 300 steps",
    "edgesr, the same 300 steps",
    "edgesr, 40 such steps",
    "edgesr, 10 such steps",
    "30 bare calls of their network in ONNX Runtime",
    "`edgesr run`, a process from start to written PNG",
    "`edgesr run` of a folder, a picture",
    "edgesr, loaded",
    "`edgesr run --device openvino` of a folder, a picture",
    "edgesr on OpenVINO, loaded",
)
LONG_STEPS, SHORT_STEPS = 40, 10
OF_A_FOLDER = 64
