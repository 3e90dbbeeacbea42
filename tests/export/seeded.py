"""Seeded weights for networks at the papers' sizes."""

from __future__ import annotations

from torch import Generator, nn


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


def parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
