"""Figures as their authors state them; what is not known here is None, never filled in."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "not known here"


@dataclass(frozen=True)
class PublishedQuality:
    """One row of the X-ray paper's table."""

    data: str
    method: str
    psnr: float
    """Decibels, by the paper's own evaluation; see ``NOTES``."""
    ssim: float | None = None
    lpips: float | None = None
    seconds: float | None = None
    """Of one picture, 64 x 64 to 256 x 256, on an RTX 4090."""


XRAY_SOURCE = "the X-ray diffusion paper and its public code, petrichor-2/image-upscaler"
XRAY = (
    PublishedQuality("NIH", "bicubic", 29.59, 0.9176, 0.3472),
    PublishedQuality("NIH", "latent diffusion, 300 steps, PyTorch", 27.34, 0.8647, 0.1232, 7.02),
    PublishedQuality("NIH", "latent diffusion, 300 steps, TensorRT", 27.11, 0.8501, 0.1223, 1.49),
    PublishedQuality("Indiana", "bicubic", 28.36, 0.9019),
    PublishedQuality("Indiana", "latent diffusion, 300 steps, PyTorch", 26.74),
    PublishedQuality("Indiana", "latent diffusion, 300 steps, TensorRT", 27.01),
)
NOTES = (
    "The paper's test pictures, autoencoder and machine are others than here: its figures show what was reached there, "
    "and no figure of one group may be subtracted from one of the other.",
    "Its evaluation squares differences of unsigned 8-bit numbers, which wrap around; its PSNR cannot be compared "
    "digit for digit with one computed in floating point, as here.",
)
PARAMETERS = {"U-Net of the latent diffusion": 813_220}
"""Published numbers of parameters by network; those of the other papers' networks are not known here."""
