"""The networks: the shipped models with their weights, and those of the papers with seeded ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runtime.networks import Subject, picture
from benchmarks.runtime.overhead import pytorch_module
from edgesr.pipelines.load import open_model


@dataclass(frozen=True)
class Network:
    """One network as ONNX file and as PyTorch module, with what it is fed."""

    name: str
    path: Path
    feeds: Mapping[str, np.ndarray[Any, Any]]
    module: Any
    """A ``torch.nn.Module`` in evaluation mode."""
    inputs: tuple[Any, ...]
    """The feeds as tensors, in the order of the module's arguments."""

    @property
    def size(self) -> str:
        """Shape of the first input."""
        return " x ".join(map(str, next(iter(self.feeds.values())).shape))


def shipped(name: str, side: int, threads: int) -> Network:
    """Return a shipped model."""
    subject = Subject(name, name, picture(side, side))
    module, inputs = pytorch_module(subject, threads)
    return Network(name, open_model(name).part_path("network"), subject.feeds(), module, tuple(inputs))


def _edsr() -> Any:
    from export.models.edsr import Edsr

    return Edsr(4)


def _rrdb() -> Any:
    from export.models.rrdb import Rrdb

    return Rrdb(2)


def _swinir() -> Any:
    from export.models.swinir import swinir_light

    return swinir_light(4)


def _prior() -> Any:
    from export.models.prior_fsr import PriorFsr

    return PriorFsr()


def _unet() -> Any:
    from export.models.unet import UNet

    return UNet("resnet18")


PAPERS: Mapping[str, tuple[Callable[[], Any], int | None]] = {
    "EDSR-baseline x4": (_edsr, None),
    "RRDB x4, 2 blocks": (_rrdb, None),
    "prior-guided faces x8": (_prior, 16),
    "U-Net on ResNet-18 x4": (_unet, None),
    "SwinIR-light x4": (_swinir, None),
}
"""Name, how it is built, and its side where it has one of its own."""
UNET_LITE = "U-Net of a latent diffusion"


SHIPPED = ("cxr-x4", "cxr-x4-fast")
NETWORKS = (*SHIPPED, *PAPERS, UNET_LITE)
"""All of the comparison, in the order of its tables."""


def open_network(name: str, side: int, threads: int, folder: Path) -> Network:
    """Return a network of the comparison; raises ImportError and ValueError where it cannot be made here."""
    return shipped(name, side, threads) if name in SHIPPED else paper(name, side, folder)


def paper(name: str, side: int, folder: Path) -> Network:
    """Export a network of the papers with seeded weights; raises ImportError where a library is missing."""
    if name == UNET_LITE:
        return export_unet_lite(folder)
    build, own = PAPERS[name]
    sides = (1, 3, own or side, own or side)
    return export_picture_network(name, seeded(build()), sides, folder, is_dynamic=own is None)


def export_picture_network(
    name: str, module: Any, shape: tuple[int, int, int, int], folder: Path, *, is_dynamic: bool
) -> Network:
    """Export a network that makes a picture of one of ``shape`` (1, C, H, W), and more outputs beside it."""
    import torch
    from onnx import save

    from export.exporting.onnx_graph import export_onnx

    image = torch.rand(*shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        out = module(image)
    outputs = (
        ["upscaled"] if isinstance(out, torch.Tensor) else ["upscaled", *(f"extra_{i}" for i in range(1, len(out)))]
    )
    large = out if isinstance(out, torch.Tensor) else out[0]
    scale = large.shape[2] // image.shape[2] or None
    model = export_onnx(module, image, outputs, opset=17, scale=scale, multiple=8, is_dynamic=is_dynamic).model
    path = folder / f"{len(list(folder.iterdir()))}.onnx"
    save(model, path)
    return Network(name, path, {model.graph.input[0].name: image.numpy()}, module, (image,))


def export_unet_lite(folder: Path) -> Network:
    """Export the U-Net of a latent diffusion at 32 x 32 latents."""
    import torch

    from export.models.unet_lite import UNetLite

    generator = torch.Generator().manual_seed(1)
    module = seeded(UNetLite())
    latents = [torch.randn(1, 4, 32, 32, generator=generator) for _ in range(2)]
    inputs = (*latents, torch.tensor([500.0]))
    names = ["sample", "condition", "timestep"]
    path = folder / "unet_lite.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, path, input_names=names, output_names=["out"], dynamo=False, opset_version=17)
    feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    return Network(UNET_LITE, path, feeds, module, inputs)


def seeded(module: Any) -> Any:
    """Draw the weights from a seed, so that activations keep their size, and return the module for evaluation."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, (1 / parameter[0].numel()) ** 0.5, generator=generator)
    return module.eval()
