"""What a latent diffusion says about what stands around its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Diffusion:
    """What stands around the steps of a latent diffusion; the steps themselves are in ``schedule``.

    Latent = ``(encoded - shift_factor) * scaling_factor``, ``latent_factor`` times smaller than the output picture.
    """

    latent_channels: int
    latent_factor: int
    scaling_factor: float = 1.0
    shift_factor: float = 0.0
    upsampling: Literal["bicubic", "none"] = "bicubic"
    """How the input is enlarged to the output's size before it is encoded; ``none``: the encoder takes it as it is."""
    conditioning: Literal["none", "joined", "separate"] = "none"
    """Whether the network takes a condition behind the channels of the state, or as an input of its own."""
    condition: Literal["latent", "image"] = "latent"
    """The encoded input, or the input itself enlarged bicubically to the latent's size."""
    consistency: Literal["off", "final", "every-step"] = "final"
    projection: Literal["oblique", "orthogonal"] = "oblique"
    """Onto the pictures that agree with the input, where ``degradation.kernel`` names the downscaler."""
    samples: int = 1
    fidelity: float | None = None
    """From one sample (0) to the mean of all (1), which None means."""

    unrolled: str | None = None
    """Digest of the schedule that the part ``unrolled`` walks (``Schedule.digest``); None without such a part."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Diffusion:
        """Return the typed form of an object that satisfies the schema."""
        whole = {key: int(document[key]) for key in ("latent_channels", "latent_factor", "samples") if key in document}
        return cls(**{**document, **whole})
