"""Every family that is measured, by name: what restores, what labels, the two in one package, latent diffusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.support.chains import CHAINS
from tests.support.diffusion import DIFFUSIONS
from tests.support.families import RESTORATIONS
from tests.support.labels import LABELS
from tests.support.steps import Said


class Measured(Protocol):
    """A family that can be measured."""

    def sources(self) -> str:
        """Return a digest of what the result depends on."""

    def prove(self, folder: Path, *, is_small: bool = False, say: Said = ...) -> dict[str, Any]:
        """Return what became of every step: ``ok`` and figures, or the error line that a user would read."""


FAMILIES: Mapping[str, Measured] = {**RESTORATIONS, **LABELS, **CHAINS, **DIFFUSIONS}
