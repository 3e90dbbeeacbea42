"""Models and pictures for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgesr.cli import main
from edgesr.model import ModelDescriptor, Part, Preprocessing, Uncertainty, write_package
from edgesr.pipelines.load import load
from tests.cli.commands import Answer
from tests.networks import convolution_x

Call = Callable[..., Answer]


@dataclass(frozen=True)
class Models:
    """Two packages, the first also as a folder, and an ONNX file; all of them enlarge grey pictures twice."""

    package: Path
    folder: Path
    with_uncertainty: Path
    onnx: Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    bare = convolution_x(folder / "bare.onnx")
    package = write_package(folder / "tiny-x2.edgesr", descriptor("tiny-x2"), {"network.onnx": bare})
    outputs = {"image": "upscaled", "scale": "spread"}
    sure = descriptor("sure-x2", outputs, Uncertainty(2.0, 0.9))
    return Models(
        package,
        write_package(folder / "tiny-x2", descriptor("tiny-x2"), {"network.onnx": bare}),
        write_package(folder / "sure-x2.edgesr", sure, {"network.onnx": _with_spread(bare, folder / "spread.onnx")}),
        bare,
    )


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Run ``edgesr`` with these words in this process; both streams are taken at the level of the system."""

    def answer(*words: str | Path) -> Answer:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Answer(code, *capfd.readouterr())

    return answer


@pytest.fixture
def loaded(models: Models, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep one restorer open for all runs, which would load it anew each time."""
    with load(models.folder, "cpu", threads=1) as restorer:
        monkeypatch.setattr(restorer.__class__, "__exit__", lambda *_: None)
        monkeypatch.setattr("edgesr.cli.run.open_pipeline", lambda arguments: restorer)
        yield


def descriptor(
    name: str, outputs: dict[str, str] | None = None, uncertainty: Uncertainty | None = None
) -> ModelDescriptor:
    """What tests.networks.convolution_x says about itself."""
    return ModelDescriptor(
        name=name,
        version="1.0.0",
        task="restore",
        scale=2,
        input_channels=1,
        output_channels=1,
        input=Preprocessing(color="grey"),
        receptive_field=3,
        parts={"network": Part("network.onnx", "", {"image": "image"}, outputs or {"image": "upscaled"})},
        uncertainty=uncertainty,
        licence="Apache-2.0",
        description="random weights",
    )


def _with_spread(bare: Path, path: Path) -> Path:
    model = onnx.load(bare)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([0.05], np.float32), "five"))
    graph.node.append(helper.make_node("Mul", ["upscaled", "five"], ["signed"]))
    graph.node.append(helper.make_node("Abs", ["signed"], ["spread"]))
    graph.output.append(helper.make_tensor_value_info("spread", onnx.TensorProto.FLOAT, [1, 1, "sh", "sw"]))
    onnx.save(model, path)
    return path
