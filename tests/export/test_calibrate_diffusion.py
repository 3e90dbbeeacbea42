"""The calibration of a diffusion finds a known link again, and promises what it keeps on patients it has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("cv2", reason="the export side needs OpenCV")
pytest.importorskip("scipy", reason="the export side needs scipy")
pytest.importorskip("skimage", reason="the export side needs scikit-image")

from edgesr.model import ErrorLink
from edgesr.pipelines.linked import error_scale
from export.calibrate_diffusion import Calibrated, Drawn, fit, halves

TRUE = ErrorLink(-1.3, 0.65)


def drawn(count: int, *, seed: int = 0, wider: float = 1.0, deviation: float = 0.0) -> list[Drawn]:
    """Pictures whose errors are Laplace distributed with the scale that a link says, two of each patient.

    Normal noise of a ``deviation`` comes to the errors, of which the inputs have a half.
    """
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        strength = np.linspace(0.01, 0.2, 96, dtype=np.float32)[None, :]
        mean = 0.5 + strength * random.standard_normal((96, 96), np.float32)
        scale = error_scale(mean[..., None], None, TRUE)
        error = np.abs(random.laplace(0, wider * scale) + random.normal(0, deviation, scale.shape)).astype(np.float32)
        noise = 0.5 * float(np.hypot(deviation, 0.004))
        found.append(Drawn(f"patient {number // 2}", mean, np.zeros_like(mean), error, noise))
    return found


def noisy(count: int, seed: int = 1) -> list[Drawn]:
    return drawn(count, seed=seed, deviation=0.15) + drawn(count, seed=seed + 1, deviation=0.3)


def test_a_known_link_is_found_again() -> None:
    link = fit(drawn(6))
    assert link.exponent == pytest.approx(TRUE.exponent, abs=0.05)
    example = drawn(1, seed=9)[0]
    np.testing.assert_allclose(example.predicted(link).scale, example.predicted(TRUE).scale, rtol=0.1)


def test_the_factor_covers_as_many_pixels_as_it_says() -> None:
    known, unseen = drawn(8), drawn(8, seed=5)
    interval = Calibrated.of(known, noisy(4)).marginal(known)
    assert interval.factor == pytest.approx(
        np.log(10), rel=0.06
    )  # the 90 % quantile of a unit Laplace's absolute value
    found = interval.judge(unseen)
    assert found["pixels_inside"] == pytest.approx(0.9, abs=0.01)
    assert found["rank_correlation"] > 0.9


def test_errors_larger_than_in_the_calibration_show_in_the_coverage() -> None:
    far = Calibrated.of(drawn(6), noisy(3)).judge(drawn(4, seed=3, wider=2.0))
    assert far["pixels_inside"] < 0.75 and far["pictures_inside"] == 0.0


def test_inputs_with_more_noise_than_in_the_calibration_get_a_wider_bound() -> None:
    bound = Calibrated.of(drawn(6), noisy(3))
    plain, ruled = replace(bound, rules={}).judge(noisy(4, seed=8)), bound.judge(noisy(4, seed=8))
    assert plain["pixels_inside"] < 0.8 and plain["pictures_inside"] == 0.0
    assert 0.89 < ruled["pixels_inside"] < 0.95


def test_halves_never_share_a_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[set[str]] = []
    unseen: list[set[str]] = []
    of = Calibrated.of

    def calibrate(first: list[Drawn], noised: list[Drawn]) -> Calibrated:
        known.append({d.patient for d in [*first, *noised]})
        return of(first, noised)

    def judge(self: Calibrated, others: list[Drawn]) -> dict[str, float]:
        unseen.append({d.patient for d in others})
        return {"pixels_inside": 0.9}

    monkeypatch.setattr(Calibrated, "of", calibrate)
    monkeypatch.setattr(Calibrated, "judge", judge)
    assert halves(drawn(8), noisy(8), splits=3)["bound"] == {"pixels_inside": 0.9}
    for first, strict, marginal in zip(known, unseen[::2], unseen[1::2], strict=True):
        assert strict == marginal and not first & strict and len(first | strict) == 4
