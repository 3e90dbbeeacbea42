"""What the X-ray models are judged by is what a user gets, and the card says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("cv2", reason="the export side needs OpenCV")

import edgesr
from edgesr.image import read
from edgesr.model import find, open_package
from export.card_cxr import _coverage
from export.data.degradations import downscale
from export.error_bound import add_noise
from export.evaluation import Enlarger

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kernel", ["cubic", "area", "antialiased"])
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_the_judged_picture_and_bound_are_those_of_the_runtime(kernel: str, noise: float) -> None:
    package = open_package(find("cxr-x4-fast"))
    high = add_noise(read(ROOT / "examples" / "chest_xray.png").pixels[..., 0], noise, 1)
    low = downscale(high, kernel)
    known, degradation = package.descriptor.uncertainty, package.descriptor.degradation
    assert known is not None and degradation is not None
    rules = {name: {"usual": rule.usual, "growth": rule.growth} for name, rule in known.noise.items()}
    enlarge = Enlarger(package.part_path("network"), degradation["estimator"], noise=rules)
    image, scale = enlarge(low, 0.4)
    with edgesr.load("cxr-x4-fast", device="cpu", fidelity=0.4) as model:
        result = model.restore(low, uncertainty=True)
    assert np.abs(result.image.astype(int) - image).max() <= 1
    np.testing.assert_allclose(result.std, known.factor * scale / 255, rtol=2e-3, atol=1e-5)
    plain = Enlarger(package.part_path("network"), degradation["estimator"])(low, 0.4)[1]
    assert (scale > plain).all() if noise else scale.mean() < 1.2 * plain.mean()


def test_the_card_says_what_the_bound_covers() -> None:
    row = {"pixels_inside": 0.9321, "pictures_inside": 0.978}
    share: dict[str, Any] = {"pixels": 0.931, "pictures": 0.91}
    facts = {
        "conformal": {
            "noise": {"cubic": {"usual": 0.003, "growth": 1.1}},
            "coverage_with_noise": {"cubic": {"2": share, "4": share, "6": share}},
        },
        "quality": {"hannover-256 cubic": {"all": {"default": row}}},
    }
    text = _coverage(facts)
    assert "| cubic | 0.77 | 1.10 | 93.1% (91%) | 93.1% (91%) | 93.1% (91%) |" in text
    assert text.endswith("| hannover-256 cubic | 93.2% | 98% |")
