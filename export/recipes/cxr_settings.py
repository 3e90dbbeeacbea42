"""The settings that the X-ray models are trained with."""

from dataclasses import dataclass, field, replace

from export.data.xray import Mixture


@dataclass(frozen=True)
class Recipe:
    """What decides the trained weights, besides the pictures."""

    steps: int = 8000
    mean_share: float = 0.64
    batch: int = 8
    side: int = 32
    learning_rate: float = 8e-4
    warmup: int = 100
    weight_decay: float = 1e-4
    average: float = 0.997
    squared_weight: float = 1.0
    scale_weight: float = 0.003
    measurement_weight: float = 0.2
    doubt: float = 0.2
    lpips_weight: float = 0.25
    lattice_weight: float = 0.06
    flat_weight: float = 0.2
    lpips_side: int = 112
    seed: int = 20261121
    mixture: Mixture = field(default_factory=Mixture)


RECIPES = {
    "cxr-x4": Recipe(),
    "cxr-x4-fast": replace(Recipe(), steps=32000, mean_share=0.75, learning_rate=1.5e-3, scale_weight=0.3),
}

CHOSEN = ("steps", "learning_rate", "mean_share", "seed")
"""What the command line may change."""
