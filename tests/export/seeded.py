"""Seeded weights for networks at the papers' sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from export.lpips import NETWORKS
from export.models.edsr import Edsr


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


def enlarging(network: Edsr, detail: float = 0.2) -> Edsr:
    """Let a network that ``tamed`` scaled repeat the pixels of its picture and add ``detail`` times what was drawn.

    Three channels carry the picture past everything that is drawn, which sees it too. A trained network shows its
    picture; one that is drawn makes nearly the same noise of all.
    """
    with torch.no_grad():
        network.conv_last.weight.mul_(detail)
        network.conv_last.bias.mul_(detail)
        _carry(network.conv_first, range(3), copies=1, is_added=False)
        for block in network.body:
            _silence(block.conv2)
        _silence(network.conv_after_body)
        for layer in network.upsample:
            if isinstance(layer, nn.Conv2d):
                _carry(layer, range(3), copies=4, is_added=False)
        _carry(network.conv_last, range(3), copies=1, is_added=True)
    return network


def _silence(layer: nn.Conv2d) -> None:
    layer.weight[:3] = 0
    layer.bias[:3] = 0


def _carry(layer: nn.Conv2d, channels: range, *, copies: int, is_added: bool) -> None:
    """Let the first outputs, ``copies`` of each channel, be the first inputs, alone or beside the others."""
    for channel in channels:
        rows = slice(channel * copies, (channel + 1) * copies)
        if is_added:
            layer.weight[rows, :3] = 0
        else:
            layer.weight[rows] = 0
            layer.bias[rows] = 0
        layer.weight[rows, channel, 1, 1] = 1


def settled(network: nn.Module, pictures: Tensor) -> nn.Module:
    """Draw every weight anew, and give each batch norm the statistics that training would have: those of ``pictures``.

    What scales whole branches is small, as in trained networks: with branches as large as what they are added to,
    rounding errors would grow from block to block (Yang et al., 2019, arXiv 1902.08129).
    """
    seeded(network)
    for module in network.modules():
        for parameter in _branch_scales(module):
            nn.init.constant_(parameter, 0.2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.inference_mode():
        network(pictures)
    return network.eval()


def _branch_scales(module: nn.Module) -> list[nn.Parameter]:
    """Return the factors of a residual branch: of the last norm in torchvision's blocks, of timm's layer scale."""
    scale = getattr(module, "gamma", None)
    if isinstance(scale, nn.Parameter) and scale.ndim == 3:
        return [scale]
    if not (getattr(module, "use_res_connect", False) or (hasattr(module, "downsample") and hasattr(module, "conv2"))):
        return []
    norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]
    return [norm.weight for norm in norms if norm not in set(getattr(module, "downsample", None) or ())][-1:]


def decided(network: nn.Module, head: nn.Module, pictures: Tensor, spread: float = 3.0) -> nn.Module:
    """Scale and shift the last layer so that the scores of every class average 0 on pictures and deviate by ``spread``.

    Without that a network with drawn weights says the same of every picture.
    """
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda module, given, result: seen.append(result.transpose(0, 1).flatten(1)))
    with torch.inference_mode():
        network(pictures)
    handle.remove()
    mean, factor = seen[0].mean(1), spread / seen[0].std(1)
    with torch.no_grad():
        head.weight.mul_(factor.reshape(-1, *[1] * (head.weight.ndim - 1)))
        head.bias.sub_(mean).mul_(factor)
    return network


def fitted(network: nn.Module, head: nn.Module, pictures: Tensor, spread: float = 6.0) -> nn.Module:
    """Fit the last layer by ridge regression to tell pictures apart, or the upper and lower halves of all of them.

    What a trained head says of its pictures lies far from what it does not say; the best two scores of a drawn head
    may be nearly the same, and then rounding decides.
    """
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    with torch.inference_mode():
        network(pictures)
    handle.remove()
    features = seen[0].clone()
    classes = torch.arange(len(features))
    if features.ndim == 4:
        lower = torch.arange(features.shape[2]) >= features.shape[2] // 2
        classes = (2 * classes[:, None, None] + lower[:, None]).expand(-1, -1, features.shape[3]).reshape(-1)
        features = features.movedim(1, -1).flatten(0, 2)
    wanted = spread * nn.functional.one_hot(classes, head.weight.shape[0]).to(features.dtype)
    mean, share = features.mean(0), wanted.mean(0)
    centered = (features - mean).double()
    products = centered.T @ centered
    ridge = 1e-2 * products.diagonal().mean() * torch.eye(len(products))
    weight = torch.linalg.solve(products + ridge, centered.T @ (wanted - share).double()).T.float()
    with torch.no_grad():
        head.weight.copy_(weight.reshape(head.weight.shape))
        head.bias.copy_(share - weight @ mean)
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
