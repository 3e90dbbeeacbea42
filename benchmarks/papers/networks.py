"""The networks of the five papers at their sizes, with seeded weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.backends.networks import Network, export_picture_network, export_unet_lite, seeded


@dataclass(frozen=True)
class Architecture:
    """One line of an architecture table."""

    paper: str
    build: Callable[[], Any]
    """Makes the ``torch.nn.Module``; raises ImportError where a library is missing."""
    side: int
    channels: int = 3
    is_fixed: bool = False
    """Whether the exported network takes this size alone."""


def _unet(encoder: str) -> Any:
    from export.models.unet import UNet

    network = UNet(encoder)
    network.reparameterize()
    return network


def _edsr(scale: int) -> Any:
    from export.models.edsr import Edsr

    return Edsr(scale)


def _swinir() -> Any:
    from export.models.swinir import swinir_light

    return swinir_light(4)


def _rrdb(blocks: int) -> Any:
    from export.models.rrdb import Rrdb

    return Rrdb(blocks)


def _prior() -> Any:
    from export.models.prior_fsr import PriorFsr

    return PriorFsr()


def _coder(part: str) -> Any:
    from export.models.autoencoder import GreyAutoencoder

    return getattr(GreyAutoencoder(), part)


def _published_coder(part: str) -> Any:
    """Return a half of the autoencoder that the X-ray paper names; its attention is exported at one size."""
    from torch import nn

    from export.models.autoencoder_kl import DiffusersAutoencoder

    network = DiffusersAutoencoder.seeded().network
    halves = {"encoder": (network.encoder, network.quant_conv), "decoder": (network.post_quant_conv, network.decoder)}
    return nn.Sequential(*halves[part])


_UNET, _SR4IR, _RRDB, _FACES, _XRAY = (
    "U-Net upscaler (CNN-ViT)", "SR4IR", "RRDB CNN / GAN", "prior-guided faces", "X-ray latent diffusion",
)  # fmt: skip
UNET_LITE = "U-Net of the latent diffusion"
ARCHITECTURES: Mapping[str, Architecture] = {
    "U-Net on ResNet50": Architecture(_UNET, lambda: _unet("resnet50"), 56, is_fixed=True),
    "U-Net on FastViT": Architecture(_UNET, lambda: _unet("fastvit_ma36"), 56, is_fixed=True),
    "EDSR-baseline x4": Architecture(_SR4IR, lambda: _edsr(4), 64),
    "EDSR-baseline x8": Architecture(_SR4IR, lambda: _edsr(8), 64),
    "SwinIR-light x4": Architecture(_SR4IR, _swinir, 64),
    "RRDB x4, 2 blocks": Architecture(_RRDB, lambda: _rrdb(2), 64),
    "RRDB x4, 10 blocks": Architecture(_RRDB, lambda: _rrdb(10), 64),
    "RRDB x4, 15 blocks": Architecture(_RRDB, lambda: _rrdb(15), 64),
    "prior-guided faces x8": Architecture(_FACES, _prior, 16, is_fixed=True),
    "encoder of our autoencoder": Architecture(_XRAY, lambda: _coder("encoder"), 256, 1),
    "decoder of our autoencoder": Architecture(_XRAY, lambda: _coder("decoder"), 64, 8),
    "encoder of AutoencoderKL": Architecture(_XRAY, lambda: _published_coder("encoder"), 256, is_fixed=True),
    "decoder of AutoencoderKL": Architecture(_XRAY, lambda: _published_coder("decoder"), 32, 4, is_fixed=True),
    UNET_LITE: Architecture(_XRAY, lambda: None, 32, 8),
}
"""By name; the U-Net of the latent diffusion takes state, condition and timestep, and is built apart."""


def open_architecture(name: str, folder: Path) -> Network:
    """Build and export one network; raises ImportError where a library is missing."""
    if name == UNET_LITE:
        return export_unet_lite(folder)
    entry = ARCHITECTURES[name]
    module = seeded(entry.build())
    sides = (1, entry.channels, entry.side, entry.side)
    return export_picture_network(name, module, sides, folder, is_dynamic=not entry.is_fixed)
