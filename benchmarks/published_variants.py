"""One network in the forms in which strangers export it: layouts, types, value ranges, fixed sizes, old files."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

_SAMPLE = (40, 48)
_BYTES = (0, 255)


@dataclass(frozen=True)
class Variant:
    """One form of a network; ``values`` and ``results`` are its input and output value ranges."""

    name: str
    layout: str = "NCHW"
    dtype: str = "float32"
    output_dtype: str = "float32"
    values: tuple[float, float] = (0, 1)
    results: tuple[float, float] = (0, 1)
    size: tuple[int, int] | None = None
    """Height and width that are fixed in the graph; None = dynamic."""
    opset: int = 17
    weights_as_inputs: bool = False
    weights_beside: bool = False
    """Weights in a second file, ``NAME.onnx.data``."""
    dynamo: bool = False
    flags: tuple[str, ...] = ()
    """What the user has to say beside ``-m FILE``."""


UINT8 = {"dtype": "uint8", "output_dtype": "uint8", "values": _BYTES, "results": _BYTES}
VARIANTS = (
    Variant("NCHW float32 in [0, 1]"),
    Variant("values in [0, 255]", values=_BYTES, results=_BYTES),
    Variant("[0, 1] in, [0, 255] out", results=_BYTES),
    Variant("values in [-1, 1], with --range=-1,1", values=(-1, 1), results=(-1, 1), flags=("--range=-1,1",)),
    Variant("values in [-1, 1]", values=(-1, 1), results=(-1, 1)),
    Variant("NHWC", layout="NHWC"),
    Variant("NHWC uint8 in and out", layout="NHWC", **UINT8),
    Variant("NCHW uint8 in and out", **UINT8),
    Variant("uint8 in, float32 out in [0, 255]", dtype="uint8", values=_BYTES, results=_BYTES),
    Variant("uint8 in, float32 out in [0, 1]", dtype="uint8", values=_BYTES),
    Variant("float32 in [0, 1], uint8 out", output_dtype="uint8", results=_BYTES),
    Variant("float16 weights, in and out", dtype="float16", output_dtype="float16"),
    Variant("fixed 128 x 128", size=(128, 128)),
    Variant("fixed 64 x 64", size=(64, 64)),
    Variant("fixed 64 x 96, NHWC uint8", layout="NHWC", size=(64, 96), **UINT8),
    Variant("opset 11, IR 4, weights listed as inputs", opset=11, weights_as_inputs=True),
    Variant("opset 9, IR 4, weights listed as inputs", opset=9, weights_as_inputs=True),
    Variant("weights in a second file", weights_beside=True),
    Variant("torch.export (dynamo), opset 18", opset=18, dynamo=True),
)


class Form(nn.Module):
    """A network that takes ``(N, C, H, W)`` in [0, ``unit``], behind the layout, types and ranges of a variant."""

    def __init__(self, network: nn.Module, unit: float, variant: Variant) -> None:
        super().__init__()
        self.network, self.unit, self.variant = network, unit, variant

    def forward(self, image: Tensor) -> Tensor:
        """Take and give what the variant says."""
        variant = self.variant
        (low, high), (first, last) = variant.values, variant.results
        values = image if variant.dtype == "float16" else image.float()
        if variant.layout == "NHWC":
            values = values.permute(0, 3, 1, 2)
        if (low, high) != (0, self.unit):
            values = (values - low) * (self.unit / (high - low))
        values = self.network(values)
        if (first, last) != (0, self.unit):
            values = values * ((last - first) / self.unit) + first
        if variant.output_dtype == "uint8":
            values = values.clamp(0, 255).round().to(torch.uint8)
        return values.permute(0, 2, 3, 1) if variant.layout == "NHWC" else values


class SeededNetwork(nn.Module):
    """Bilinear enlargement plus random detail, in the manner of ESPCN (Shi et al., CVPR 2016); any value range."""

    def __init__(self, channels: int = 1, scale: int = 2, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.scale = scale
        self.first = nn.Conv2d(channels, 16, 5, padding=2, bias=False)
        self.second = nn.Conv2d(16, 12, 3, padding=1, bias=False)
        self.third = nn.Conv2d(12, channels * scale**2, 3, padding=1, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                nn.init.normal_(parameter, 0, parameter[0].numel() ** -0.5, generator=generator)
            # A grey field gets no detail.
            self.third.weight -= self.third.weight.mean((2, 3), keepdim=True)

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge ``(N, channels, H, W)``."""
        detail = self.third(torch.relu(self.second(torch.relu(self.first(image)))))
        smooth = functional.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return smooth + 0.2 * functional.pixel_shuffle(detail, self.scale)


def write_variant(network: nn.Module, path: Path, variant: Variant, *, unit: float = 1, channels: int = 3) -> None:
    """Write ``network``, which takes values in [0, ``unit``], as an ONNX file in the form of ``variant``."""
    h, w = variant.size or _SAMPLE
    shape = (1, channels, h, w) if variant.layout == "NCHW" else (1, h, w, channels)
    sample = torch.full(shape, 0.5).to(getattr(torch, variant.dtype))
    form = Form(network.half() if variant.dtype == "float16" else network, unit, variant).eval()
    rows, columns = (2, 3) if variant.layout == "NCHW" else (1, 2)
    options: dict[str, object] = {"keep_initializers_as_inputs": variant.weights_as_inputs}
    if variant.dynamo:
        sides = {rows: torch.export.Dim("height", min=16), columns: torch.export.Dim("width", min=16)}
        options = {"dynamic_shapes": {"image": sides}, "verbose": False}
    elif variant.size is None:
        options["dynamic_axes"] = {
            name: {rows: f"{name}_height", columns: f"{name}_width"} for name in ("input", "output")
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            form,
            (sample,),
            str(path),
            input_names=["input"],
            output_names=["output"],
            opset_version=variant.opset,
            dynamo=variant.dynamo,
            **options,
        )
    network.float()
    model = onnx.load(path)
    if variant.weights_as_inputs:
        model.ir_version = 4
        onnx.save(model, path)
    elif variant.weights_beside:
        onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)


def run_directly(path: Path, variant: Variant, picture: np.ndarray) -> np.ndarray:
    """Enlarge uint8 ``(H, W, C)`` with ONNX Runtime alone, knowing what the network takes; return uint8."""
    low, high = variant.values
    values = (picture / 255 * (high - low) + low).astype(np.float32)
    values = (np.rint(values) if variant.dtype == "uint8" else values).astype(variant.dtype)[None]
    feed = values.transpose(0, 3, 1, 2) if variant.layout == "NCHW" else values
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"input": np.ascontiguousarray(feed)})
    result = result[0].transpose(1, 2, 0) if variant.layout == "NCHW" else result[0]
    first, last = variant.results
    unit = (result.astype(np.float64) - first) / (last - first)
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
