"""The calibration of a diffusion finds a known link again, and promises what it keeps on patients it has not seen."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("cv2", reason="the export side needs OpenCV")
pytest.importorskip("scipy", reason="the export side needs scipy")
pytest.importorskip("skimage", reason="the export side needs scikit-image")

from edgesr.model import ErrorLink
from edgesr.pipelines.linked import error_scale
from export.calibrate_diffusion import Drawn, conformal_factor, factors, fit, halves, judge, marginal_factor

TRUE = ErrorLink(-1.3, 0.65)


def drawn(count: int, *, seed: int = 0, wider: float = 1.0, noise: float = 0.01) -> list[Drawn]:
    """Pictures whose errors are Laplace distributed with the scale that a link says, two of each patient."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        strength = np.linspace(0.01, 0.2, 96, dtype=np.float32)[None, :]
        mean = 0.5 + strength * random.standard_normal((96, 96), np.float32)
        scale = error_scale(mean[..., None], None, TRUE)
        error = np.abs(random.laplace(0, wider * scale)).astype(np.float32)
        low = 0.5 + np.float32(noise) * random.standard_normal((24, 24), np.float32)
        found.append(Drawn(f"patient {number // 2}", mean, np.zeros_like(mean), error, low))
    return found


def test_a_known_link_is_found_again() -> None:
    link = fit(drawn(6))
    assert link.exponent == pytest.approx(TRUE.exponent, abs=0.05)
    example = drawn(1, seed=9)[0]
    np.testing.assert_allclose(example.scale(link), example.scale(TRUE), rtol=0.1)


def test_the_factor_covers_as_many_pixels_as_it_says() -> None:
    known, unseen = drawn(8), drawn(8, seed=5)
    link = fit(known)
    factor = marginal_factor(link, known)
    assert factor == pytest.approx(np.log(10), rel=0.06)  # the 90 % quantile of a unit Laplace's absolute value
    found = judge(link, factor, unseen)
    assert found["pixels_inside"] == pytest.approx(0.9, abs=0.01)
    assert found["rank_correlation"] > 0.9


def test_errors_larger_than_in_the_calibration_show_in_the_coverage() -> None:
    known = drawn(6)
    link = fit(known)
    strict = conformal_factor(np.array([value for _, value in factors(link, known)]))
    far = judge(link, strict, drawn(4, seed=3, wider=2.0))
    assert far["pixels_inside"] < 0.75 and far["pictures_inside"] == 0.0


def test_inputs_with_more_noise_than_in_the_calibration_get_a_wider_bound() -> None:
    known = drawn(6)
    link = fit(known)
    strict = conformal_factor(np.array([value for _, value in factors(link, known)]))
    noisy = judge(link, strict, drawn(4, seed=3, wider=2.0, noise=0.025))
    assert noisy["pixels_inside"] > 0.9 and noisy["pictures_inside"] == 1.0


def test_halves_never_share_a_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[set[str]]] = []
    monkeypatch.setattr(
        "export.calibrate_diffusion.fit", lambda known: seen.append(({d.patient for d in known},)) or TRUE
    )
    monkeypatch.setattr(
        "export.calibrate_diffusion.judge",
        lambda link, factor, unseen: seen.append(({d.patient for d in unseen},)) or {"pixels_inside": 0.9},
    )
    assert halves(drawn(8), splits=3)["bound"] == {"pixels_inside": 0.9}
    groups = [names for (names,) in seen]
    for known, strict, marginal in zip(groups[::3], groups[1::3], groups[2::3], strict=True):
        assert strict == marginal and not known & strict and len(known | strict) == 4
