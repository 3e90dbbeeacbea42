"""Read the weights of X-ray networks, from training or from packages that were made of them, and average them."""

import os
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from edgesr.errors import EdgesrError
from edgesr.pipelines.load import open_model
from export.models.cxr import CxrSuperResolution

Source = str | os.PathLike[str]


def load_weights(network: CxrSuperResolution, *sources: Source) -> None:
    """Fill ``network`` from ``weights.pt`` or ``checkpoint.pt`` of the recipe, a package, its name, or an ONNX file.

    Several sources give the mean of their weights, which makes sense for runs that began from the same ones (Wortsman
    et al. 2022, Model soups, arXiv:2203.05482). Raises ValueError where a source is of another network or
    cannot be read.
    """
    states = [_read(source) for source in sources]
    for source, state in zip(sources, states, strict=True):
        for name, parameter in network.named_parameters():
            if name not in state or state[name].shape != parameter.shape:
                raise ValueError(f"{source} holds another network: it lacks {name} of shape {tuple(parameter.shape)}")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.stack([state[name] for state in states]).mean(0))


def _read(source: Source) -> dict[str, Tensor]:
    if not str(source).endswith(".pt"):
        try:
            path = source if str(source).endswith(".onnx") else open_model(source).part_path("network")
            graph = onnx.load(path).graph
        except (EdgesrError, OSError, DecodeError) as error:
            raise ValueError(f"{source} cannot be read as a network: {error}") from error
        arrays = ((tensor.name, numpy_helper.to_array(tensor)) for tensor in graph.initializer)
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays}
    try:
        state: dict[str, Any] = torch.load(source, weights_only=True)
    except Exception as error:  # whatever its unpickler meets in a damaged file
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{source} cannot be read as weights of PyTorch: {why}") from error
    return state.get("averaged", state)
