"""Families for the oldest and the newest ``--target``: its opset, and nothing that a parser of its versions lacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx import TensorProto  # noqa: E402
from torch import nn  # noqa: E402

from edgesr.compile.graph import Graph  # noqa: E402
from edgesr.compile.validate import half_problems, operator_problems  # noqa: E402
from export.exporting.onnx_graph import export_onnx  # noqa: E402
from export.exporting.targets import TARGETS  # noqa: E402
from export.models.edsr import Edsr  # noqa: E402
from export.models.imdn import Imdn  # noqa: E402
from export.models.prior_fsr import PriorFsr  # noqa: E402
from export.models.rlfn import Rlfn  # noqa: E402
from export.models.rrdb import Rrdb  # noqa: E402
from export.models.swinir import SwinIr  # noqa: E402

TYPES = {TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL}
"""Of tensors inside networks in FP32; TensorRT 8 computes 64-bit indices in 32 bits."""


def _resnet() -> nn.Module:
    return pytest.importorskip("torchvision").models.resnet18(num_classes=3)


def _deeplab() -> nn.Module:
    pytest.importorskip("torchvision")
    from export.models.deeplab import DeepLab

    return DeepLab(3)


def _regions() -> nn.Module:
    pytest.importorskip("torchvision")
    from export.models.fasterrcnn import RegionNetwork, make_detector

    return RegionNetwork(make_detector(3))


SMALL: dict[str, tuple[Callable[[], nn.Module], int, tuple[str, ...]]] = {
    "edsr": (lambda: Edsr(4, blocks=1, channels=8), 16, ("y",)),
    "rrdb": (lambda: Rrdb(1, channels=8, growth=4), 16, ("y",)),
    "swinir": (lambda: SwinIr(2, 12, (2,), (2,), upsampler="pixelshuffledirect"), 16, ("y",)),
    "prior-fsr": (lambda: PriorFsr(channels=16, blocks=1, prior=8, fusion=1), 16, ("y", "parsing")),
    "rlfn": (lambda: Rlfn(8, 8, 1, 2), 32, ("y",)),
    "imdn": (lambda: Imdn(16, 1, 2), 16, ("y",)),
    "resnet18": (_resnet, 32, ("logits",)),
    "deeplabv3": (_deeplab, 64, ("logits",)),
    "fasterrcnn": (_regions, 64, ("features", "objectness", "deltas")),
}
"""Networks of the layers that the families have, the sides of their picture, and their outputs."""


LARGE = ("resnet18", "deeplabv3", "fasterrcnn")
"""Families that have no small network; they are tried for the parser that knows least."""
CASES = [(name, target) for name in SMALL for target in ("trt8.6", "trt11") if name not in LARGE or target == "trt8.6"]


@pytest.mark.parametrize(("family", "target"), CASES)
def test_a_graph_for_a_target_is_what_its_parsers_take(family: str, target: str) -> None:
    make, side, outputs = SMALL[family]
    asked = TARGETS[target]
    traced = export_onnx(
        make().eval(), torch.rand(1, 3, side, side), outputs, opset=asked.opset, scale=None, is_dynamic=False
    )
    graph = Graph(traced.model, family)
    assert graph.opset == asked.opset
    for version in asked.versions:
        assert list(operator_problems(graph, version)) == []
    assert list(half_problems(graph)) == []
    assert {kind for kind in graph.types.values() if kind} <= TYPES
    assert traced.exporter == "current"


def test_any_is_the_oldest_target_for_all_versions() -> None:
    every = {version for target in TARGETS.values() for version in target.versions}
    assert set(TARGETS["any"].versions) == every
    assert TARGETS["any"].opset == min(target.opset for target in TARGETS.values())
