"""Seeded weights for networks at the papers' sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from export.lpips import NETWORKS


def seeded(network: nn.Module) -> nn.Module:
    """Draw every weight anew so that activations keep their size, and set running statistics that a norm would have."""
    generator = Generator().manual_seed(0)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_norm = isinstance(module, nn.LayerNorm | nn.BatchNorm2d)
            if parameter.ndim > 1:
                nn.init.normal_(parameter, 0, (1 / parameter[0].numel()) ** 0.5, generator=generator)
            else:
                nn.init.normal_(parameter, float(is_norm and name == "weight"), 0.02, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1, generator=generator)
            nn.init.uniform_(module.running_var, 0.8, 1.2, generator=generator)
    return network.eval()


def tamed(network: nn.Module, image: Tensor, *, unit: float = 1.0, center: float = 0.0) -> nn.Module:
    """Scale the last convolution so that its output on a picture has mean ``center`` and deviation 0.1, times ``unit``.

    Without that, the picture of a network with drawn weights leaves [0, 1], where everything is clipped.
    """
    last = getattr(network, "conv_last", None) or network.upsample[0]
    outputs: list[Tensor] = []
    handle = last.register_forward_hook(lambda module, given, result: outputs.append(result))
    with torch.inference_mode():
        network(image)
    handle.remove()
    mean, deviation = outputs[0].mean((0, 2, 3)), outputs[0].std((0, 2, 3)) / (0.1 * unit)
    with torch.no_grad():
        last.weight.div_(deviation[:, None, None, None])
        last.bias.sub_(mean).div_(deviation).add_(center * unit)
    return network


def parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def write_lpips(folder: Path, network: str) -> None:
    """Write seeded weights of LPIPS in the layout of ``export.lpips``."""
    torch.manual_seed(0)
    state = {f"sl.{name}": value for name, value in NETWORKS[network]().state_dict().items()}
    widths = {"alex": (64, 192, 384, 256, 256), "squeeze": (64, 128, 256, 384, 384, 512, 512)}[network]
    state |= {f"lin.{i}": torch.rand(1, width, 1, 1) for i, width in enumerate(widths)}
    state |= {"shift": torch.zeros(1, 3, 1, 1), "scale": torch.ones(1, 3, 1, 1)}
    torch.save(state, folder / f"lpips_{network}_state_dict.pt")
