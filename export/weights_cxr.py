"""Read the weights of an X-ray network: from training, or from a package that was made of one."""

import os

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from edgesr.pipelines.load import open_model
from export.models.cxr import CxrSuperResolution


def load_weights(network: CxrSuperResolution, source: str | os.PathLike[str]) -> None:
    """Fill ``network`` from ``weights.pt`` or ``checkpoint.pt`` of the recipe, a package, its name, or an ONNX file.

    Raises ValueError where the source is of another network.
    """
    if str(source).endswith(".pt"):
        state = torch.load(source, weights_only=True)
        state = state.get("averaged", state)
    else:
        graph = onnx.load(open_model(source).part_path("network")).graph
        arrays = ((tensor.name, numpy_helper.to_array(tensor)) for tensor in graph.initializer)
        state = {name: torch.from_numpy(np.array(array)) for name, array in arrays}
    for name, parameter in network.named_parameters():
        if name not in state or state[name].shape != parameter.shape:
            raise ValueError(f"{source} holds another network: it lacks {name} of shape {tuple(parameter.shape)}")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(state[name])
