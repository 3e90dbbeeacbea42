"""Restorers on small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesr.engines import open_backend
from edgesr.model import ModelDescriptor, Part, Preprocessing, SizeRequirements, open_package, write_package
from edgesr.pipelines.restore import Restorer
from tests import networks

Make = Callable[..., Restorer]


@pytest.fixture
def make_restorer(tmp_path: Path) -> Iterator[Make]:
    """Make a Restorer on a random convolution network; keywords go to the network, the descriptor and the Restorer."""
    opened: list[Restorer] = []

    def make(
        *,
        channels: int = 1,
        scale: int = 2,
        depth: int = 3,
        size: int | None = None,
        layout: str = "NCHW",
        color: str = "grey",
        multiple: int = 1,
        receptive_field: int | None = 3,
        **options: Any,
    ) -> Restorer:
        path = networks.convolution_x(
            tmp_path / f"n{len(opened)}.onnx", channels=channels, scale=scale, depth=depth, size=size, layout=layout
        )
        descriptor = ModelDescriptor(
            name="random",
            version="1.0.0",
            task="restore",
            parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
            scale=scale,
            input_channels=channels,
            output_channels=channels,
            input=Preprocessing(color=color, layout=layout),
            size=SizeRequirements(multiple=multiple, fixed=(size, size) if size else None),
            receptive_field=receptive_field,
            degradation={"kernel": "cubic"},
        )
        target = tmp_path / f"random{len(opened)}"
        write_package(target, descriptor, {"network.onnx": path})
        restorer = Restorer(open_package(target), open_backend("cpu", threads=2), **options)
        opened.append(restorer)
        return restorer

    yield make
    for restorer in opened:
        restorer.close()
