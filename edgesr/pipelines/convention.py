"""Check a picture against the downscalers that a model inverts, its degradation convention."""

from __future__ import annotations

from dataclasses import dataclass

from edgesr.image.sharpness import blockiness, spectrum
from edgesr.model.descriptor import ModelDescriptor
from edgesr.pipelines.estimate import estimate_shares
from edgesr.types import Array

STEPS = ("fine", "coarse", "overall")
MARGIN = 1.0
"""Decibels by which a picture may be softer than the softest one of training."""
JPEG_BLOCKS = 1.1
"""Blockiness from which JPEG compression is seen: uncompressed pictures stay below it, see docs/degradation.md."""


@dataclass(frozen=True)
class Convention:
    """What a picture shows of how it was made."""

    fine_step: float | None
    """Fall of the spectrum from 0.2 to 0.4 cycles per pixel, in decibels; None where it cannot be told."""
    coarse_step: float | None
    """Fall of the spectrum from 0.06 to 0.2 cycles per pixel, in decibels; None where it cannot be told."""
    overall_step: float | None
    """Fall of the spectrum from 0.06 to 0.4 cycles per pixel, in decibels; None where it cannot be told."""
    blockiness: float | None
    """Roughness of the seams of 8 x 8 blocks, 1 without; None for pictures below 96 pixels."""
    shares: dict[str, float] | None
    """Probability of each of the model's downscalers, as far as the spectrum shows; None where it does not."""
    problem: str | None
    """Why the model's downscalers did not make this picture; None where nothing speaks against it."""


def check_convention(descriptor: ModelDescriptor, pixels: Array) -> Convention | None:
    """Measure ``(H, W, C)`` pixels against ``degradation.sharpness`` of model.json; None where it declares none.

    A picture that is softer than the declared downscalers leave any picture was enlarged, blurred or compressed before.
    Noise, sharpening and downscalers of similar sharpness are not seen.
    """
    limits = (descriptor.degradation or {}).get("sharpness")
    if limits is None:
        return None
    measured = spectrum(pixels)
    bounds = {name: limits[name] - MARGIN for name in STEPS}
    steps = {name: getattr(measured, f"{name}_step")(bound) if measured else None for name, bound in bounds.items()}
    blocks = blockiness(pixels)
    problem = None
    if any(step is not None and step < bounds[name] for name, step in steps.items()):
        problem = (
            f"it is softer than any picture that {descriptor.name} was made for: enlarged, blurred or smoothed before"
        )
    elif blocks is not None and blocks > JPEG_BLOCKS:
        problem = f"it shows 8 x 8 blocks as of JPEG compression, which {descriptor.name} keeps as if they were real"
    fine, coarse, overall = (_rounded(steps[name]) for name in STEPS)
    shares = estimate_shares((descriptor.degradation or {}).get("estimator"), pixels)
    rounded = None if shares is None else {name: round(share, 3) for name, share in shares.items()}
    return Convention(fine, coarse, overall, _rounded(blocks), rounded, problem)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
