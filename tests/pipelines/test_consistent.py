"""A real X-ray through a diffusion: what consistency does to a picture whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgesr.image import read
from edgesr.image.resample import downscale
from edgesr.model import Diffusion
from edgesr.pipelines.load import load
from tests.pipelines.diffusion_packages import package

XRAY = Path(__file__).parents[2] / "examples/chest_xray.png"


@pytest.mark.parametrize("mode", ["final", "every-step"])
@pytest.mark.parametrize("projection", ["orthogonal", "oblique"])
def test_an_xray_agrees_with_its_measurement_and_an_orthogonal_projection_loses_nothing(tmp_path, projection, mode):
    truth = read(XRAY).pixels
    small = np.rint(np.clip(downscale(truth / np.float32(255), 4), 0, 1) * 255).astype(np.uint8)
    around = Diffusion(4, 4, 0.5, 0.1, conditioning="joined", projection=projection)
    with load(package(tmp_path, diffusion=around), "cpu", threads=1) as pipeline:
        free, held = (pipeline.restore(small, consistency=value) for value in ("off", mode))
    assert free.residual > 1
    assert held.residual <= 0.25
    gain = psnr(held.image, truth) - psnr(free.image, truth)
    if mode == "final":
        assert gain >= -0.001


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.square(a.astype(np.float64) - b)) / 255**2))
