"""Latent diffusions through TensorRT, on its doubles: compiled part by part, cached, and the picture of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.compile.engine_cache import EngineCache
from edgesr.pipelines.load import load
from tests.pipelines.diffusion_packages import package
from tests.pipelines.test_tensorrt import Machine, one_machine, picture

__all__ = ["one_machine"]


@pytest.mark.parametrize("options", [{}, {"sampler": "ddpm", "samples": 3}])
def test_the_picture_is_that_of_the_cpu(one_machine: Machine, tmp_path, options):
    path = package(tmp_path)
    notes: list[str] = []
    with load(path, "tensorrt", note=notes.append, **options) as pipeline, load(path, "cpu", **options) as expected:
        assert pipeline.device == "tensorrt:0"
        for image in (picture(12, 16), picture(40, 20)):
            difference = np.abs(pipeline(image).astype(int) - expected(image))
            assert difference.max() <= 1
    parts = ("encoder", "decoder", "step")
    assert all(any(f"tiny-diffusion ({part})" in note for note in notes) for part in parts), notes


def test_engines_are_found_again(one_machine: Machine, tmp_path):
    path = package(tmp_path)
    with load(path, "tensorrt") as pipeline:
        first = pipeline(picture(12, 16))
    assert len(list(EngineCache().folder.glob("*.engine"))) == 3
    notes: list[str] = []
    with load(path, "tensorrt", note=notes.append) as pipeline:
        np.testing.assert_array_equal(pipeline(picture(12, 16)), first)
    assert notes == []
