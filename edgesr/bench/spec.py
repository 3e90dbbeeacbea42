"""What is measured: one model with one setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgesr.bench.lower import PRECISIONS
from edgesr.errors import UsageError


@dataclass(frozen=True)
class Spec:
    """One row of a benchmark before it was measured."""

    model: str
    """Name, package, ``.onnx`` file or ``RESTORATION+TASK``."""
    precision: str | None = None
    """One of ``PRECISIONS``; None for the network as it is."""
    device: str = "auto"
    steps: int | None = None
    tile: int | None = None
    threads: int | None = None
    controls: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the model such as ``fidelity`` or ``sampler``."""
    expects: Mapping[str, Any] = field(default_factory=dict)
    """What a bare ONNX file leaves open."""

    def __post_init__(self) -> None:
        """Refuse a precision that does not exist."""
        if self.precision is not None and self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")

    @property
    def title(self) -> str:
        """The setting in words, for lines about it."""
        parts = [self.model, self.precision, f"{self.steps} steps" if self.steps else None]
        return " ".join(part for part in (*parts, f"tile {self.tile}" if self.tile else None) if part)

    @property
    def asked(self) -> dict[str, Any]:
        """The setting as plain data, by which a resumed run knows its rows again."""
        values = {name: getattr(self, name) for name in ("model", "precision", "device", "steps", "tile", "threads")}
        return {**values, "controls": dict(self.controls), "expects": dict(self.expects)}


def cross(
    models: tuple[str, ...],
    precisions: tuple[str | None, ...] = (None,),
    steps: tuple[int | None, ...] = (None,),
    tiles: tuple[int | None, ...] = (None,),
    **common: Any,
) -> list[Spec]:
    """Return a setting for every combination, models first."""
    return [
        Spec(model, precision, steps=step, tile=tile, **common)
        for model in models
        for precision in precisions
        for step in steps
        for tile in tiles
    ]
