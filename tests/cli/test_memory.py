"""What `edgesr run` holds of a wide picture: the rows in work once, and no more than pieces of them beside."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from edgesr.cli import main
from tests.networks import convolution_x

HEIGHT, WIDTH, TILE, SCALE = 460, 3000, 160, 4


def _picture(path: Path, channels: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 65535, (HEIGHT, WIDTH, channels), np.uint16)
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"] * (channels - 3))
    return path


@pytest.mark.parametrize("channels", [3, 4])
def test_the_rows_of_one_row_of_tiles_are_held_once(channels: int, tmp_path: Path) -> None:
    source = _picture(tmp_path / "wide.tif", channels)
    model = convolution_x(tmp_path / "model.onnx", channels=3, scale=SCALE)
    words = ["-m", str(model), "-o", str(tmp_path / "out.tif"), "--tile", str(TILE), "--device", "cpu"]
    assert main(["run", str(source), *words]) == 0
    tracemalloc.start()
    assert main(["run", str(source), *words]) == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    decoded = 2 * HEIGHT * WIDTH * channels * 2
    rows = TILE * SCALE * WIDTH * SCALE * channels * 2
    assert peak < decoded + 1.4 * rows
