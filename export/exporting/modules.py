"""Modules as their makers hand them over: wrapped, on another device, with results of any form."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError

_REPEATS = 1e-4
"""Largest difference of two runs, as a fraction of the largest value, of a network that draws no random numbers."""
_WRAPPED = (("_orig_mod", "OptimizedModule"), ("module", "DataParallel"), ("module", "DistributedDataParallel"))


def plain(module: nn.Module) -> nn.Module:
    """Return what torch.compile and DataParallel wrap; raise UsageError where it is not float32 on the CPU."""
    if not isinstance(module, nn.Module):
        raise UsageError(f"the network must be a torch.nn.Module, got {type(module).__name__}")
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError("the network is TorchScript, which PyTorch exports no more; give the module it was made from")
    while True:
        attribute = next((name for name, wrapper in _WRAPPED if type(module).__name__ == wrapper), None)
        if attribute is None:
            break
        module = getattr(module, attribute)
    needed = [
        name
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if len(needed) > 1:
        raise UsageError(
            f"the network takes {', '.join(needed)}; edgesr gives it the picture alone: wrap it in a module "
            "that holds the others as constants"
        )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise UsageError(f"{name} lies on {tensor.device}; call network.cpu() before the export")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise UsageError(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')}; call network.float() before the export: edgesr "
                "build makes FP16 and INT8 from the float32 package"
            )
    return module


def results_of(result: Any) -> list[Tensor]:
    """Return the tensors that a network gave; raise UsageError for anything but a tensor or a flat tuple of them."""
    if isinstance(result, Tensor):
        return [result]
    if not isinstance(result, tuple | list) or not result:
        keys = f" with {', '.join(map(repr, result))}" if isinstance(result, dict) else ""
        raise UsageError(
            f"the network gives a {type(result).__name__}{keys}; wrap it in a module that returns the picture, or a "
            "tuple that begins with it"
        )
    for i, value in enumerate(result):
        if not isinstance(value, Tensor):
            raise UsageError(
                f"result {i} of the network is a {type(value).__name__}, not a tensor; wrap it in a module that "
                "returns the picture, or a flat tuple that begins with it"
            )
    return list(result)


def check_results(network: nn.Module, image: Tensor, outputs: Sequence[str]) -> None:
    """Raise UsageError for results that are not those ``outputs`` names, or that differ from run to run."""
    with torch.inference_mode():
        first, second = (results_of(network(image.clone())) for _ in range(2))
    if len(first) != len(outputs):
        shapes = ", ".join(str(list(value.shape)) for value in first)
        raise UsageError(
            f"the network gives {len(first)} results ({shapes}), but {len(outputs)} names are given "
            f"({', '.join(outputs)}); name them all, e.g. outputs=('image', 'second')"
        )
    for name, a, b in zip(outputs, first, second, strict=True):
        if a.dtype != torch.float32:
            raise UsageError(
                f"{name} is {str(a.dtype).removeprefix('torch.')}; return float32, not rounded: "
                "edgesr rounds to what it writes"
            )
        largest = float(a.abs().max()) if a.numel() else 0.0
        if not bool(((a - b).abs() <= _REPEATS * largest).logical_or(a.isnan()).all()):
            raise UsageError(
                f"{name} differs from run to run on the same picture: the network draws random numbers; give it "
                "constants in their place"
            )
