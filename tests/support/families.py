"""The families at the papers' sizes and in small, with drawn weights whose pictures stay in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from export.exporting.parity import read_picture
from export.models.edsr import RANGE, Edsr
from export.models.prior_fsr import PriorFsr
from export.models.rrdb import Rrdb
from export.models.swinir import SwinIr, swinir_light
from tests.export.seeded import seeded, settled, tamed
from tests.support.pictures import crop_tensor
from tests.support.prove import prove
from tests.support.steps import Said, digest


@dataclass(frozen=True)
class Family:
    """One family: how its networks are made and exported."""

    words: tuple[str, ...]
    """Of ``python -m export``."""
    title: str
    large: Callable[[], nn.Module]
    small: Callable[[], nn.Module] | None
    """A network of the same layers that is fast to check; None where there is none."""
    side: int
    """Of the picture that the weights are scaled on."""
    unit: float = 1.0
    center: float = 0.0
    tile: str | None = None
    """Of the small network."""
    is_settled: bool = False
    """Whether batch norms get the statistics of pictures, as an encoder has them that was trained."""

    def build(self, *, is_small: bool) -> nn.Module:
        """Draw a network."""
        make = self.small if is_small and self.small else self.large
        picture = read_picture("astronaut.png", (self.side, self.side), 3)
        network = settled(make(), crop_tensor(self.side)) if self.is_settled else seeded(make())
        return tamed(network, picture, unit=self.unit, center=self.center)

    def sources(self) -> str:
        """Return the sha256 of the architecture and its exporter, without which the measurement says nothing."""
        module = self.words[0].replace("-", "_")
        return digest((f"families/{module}.py", f"models/{module}.py"))

    def prove(self, folder: Path, *, is_small: bool = False, say: Said = lambda text: None) -> dict[str, Any]:
        """Measure the network, or the small one."""
        return prove(self, folder, is_small=is_small, say=say)


def _small_swinir() -> SwinIr:
    return SwinIr(4, 12, (2, 2), (2, 2), upsampler="pixelshuffledirect")


def _unet(encoder: str) -> nn.Module:
    from export.models.unet import UNet  # needs timm, which the tests do without

    return UNet(encoder)


RESTORATIONS = {
    "edsr": Family(
        ("edsr",), "EDSR-baseline x4", lambda: Edsr(4), lambda: Edsr(4, blocks=2, channels=16), 48, unit=RANGE
    ),
    "edsr-x8": Family(("edsr",), "EDSR-baseline x8", lambda: Edsr(8), None, 48, unit=RANGE),
    "rrdb-2": Family(
        ("rrdb",), "RRDB, 2 blocks, x4", lambda: Rrdb(2), lambda: Rrdb(1, channels=16, growth=8), 48, center=0.5
    ),
    "rrdb-15": Family(("rrdb",), "RRDB, 15 blocks, x4", lambda: Rrdb(15), None, 48, center=0.5),
    "swinir": Family(("swinir",), "SwinIR lightweight x4", lambda: swinir_light(4), _small_swinir, 64, tile="16"),
    "prior-fsr": Family(
        ("prior-fsr",),
        "prior-guided faces 16 to 128",
        PriorFsr,
        lambda: PriorFsr(channels=16, blocks=1, prior=16, fusion=1),
        16,
    ),
    "unet": Family(("unet",), "U-Net on ResNet50, 56 x 56", lambda: _unet("resnet50"), None, 56, is_settled=True),
    "unet-fastvit": Family(
        ("unet", "--encoder", "fastvit_ma36"),
        "U-Net on FastViT, 56 x 56",
        lambda: _unet("fastvit_ma36"),
        None,
        56,
        is_settled=True,
    ),
}
