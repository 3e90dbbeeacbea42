"""The bound is as wide as promised on unseen pictures of every downscaler, noisy or not, and no wider."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")

from edgesr.model import NoiseRule
from export.error_bound import (
    PIXELS,
    Predicted,
    add_noise,
    conformal_factor,
    cross_coverage,
    fit_bound,
    largest_factor,
)

SHARE = {"cubic": 0.6, "area": 0.2}
"""How much of a picture's noise its small one has."""
QUIET = 0.002


def made(kernel: str, count: int, *, deviation: float = 0.0, wider: float = 1.0, seed: int = 0) -> list[Predicted]:
    """Pictures of a known Laplace error, to which noise of a known deviation comes; two of each patient."""
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        scale = random.uniform(0.004, 0.02, (96, 96)).astype(np.float32)
        error = np.abs(random.laplace(0, wider * scale) + random.normal(0, deviation, scale.shape))
        level = SHARE[kernel] * np.hypot(deviation, random.uniform(0.5, 1.5) * QUIET)
        found.append(Predicted(f"patient {number // 2}", float(level), {kernel: 1.0}, error.astype(np.float32), scale))
    return found


def inside(pictures: list[Predicted], factor: float, rules: Mapping[str, NoiseRule]) -> np.ndarray:
    return np.array([one.inside(factor, rules) for one in pictures])


@pytest.fixture(scope="module")
def fitted() -> tuple[float, dict[str, NoiseRule]]:
    clean = {kernel: made(kernel, 30) for kernel in SHARE}
    noisy = {kernel: [p for d in (0.01, 0.02) for p in made(kernel, 10, deviation=d, seed=1)] for kernel in SHARE}
    return fit_bound(clean, noisy)


def test_the_growth_is_the_share_that_the_downscaler_leaves(fitted: tuple[float, dict[str, NoiseRule]]) -> None:
    """Of normal noise 90 % lie within 1.645 deviations, and the factor of a Laplace error is 2.3."""
    factor, rules = fitted
    assert factor == pytest.approx(np.log(10), rel=0.05)
    for kernel, share in SHARE.items():
        assert rules[kernel].usual == pytest.approx(share * QUIET, rel=0.2)
        assert rules[kernel].growth == pytest.approx(1.645 / factor / share, rel=0.12)


@pytest.mark.parametrize("kernel", SHARE)
@pytest.mark.parametrize("deviation", [0.0, 0.012, 0.03])
def test_the_promise_holds_on_unseen_pictures(
    fitted: tuple[float, dict[str, NoiseRule]], kernel: str, deviation: float
) -> None:
    factor, rules = fitted
    shares = inside(made(kernel, 30, deviation=deviation, seed=7), factor, rules)
    assert (shares >= PIXELS).mean() >= 0.8
    assert 0.89 < shares.mean() < 0.93


def test_without_a_rule_noise_breaks_it(fitted: tuple[float, dict[str, NoiseRule]]) -> None:
    factor, rules = fitted
    noisy = made("area", 20, deviation=0.03, seed=7)
    assert inside(noisy, factor, {}).mean() < 0.7 < 0.89 < inside(noisy, factor, rules).mean()


def test_the_downscaler_of_the_largest_errors_decides() -> None:
    clean = {"cubic": made("cubic", 20), "area": made("area", 20, wider=1.5)}
    expected = conformal_factor(np.array([one.factor({}) for one in clean["area"]]))
    assert largest_factor(clean, {}) == expected > 1.4 * largest_factor({"cubic": clean["cubic"]}, {})


def test_noise_that_cannot_be_seen_gets_no_endless_growth() -> None:
    """The inputs of half of the noisy pictures are as quiet as any: no growth covers those."""
    clean = {"cubic": made("cubic", 20)}
    hidden = [
        Predicted(one.patient, 0.0, one.shares, one.error, one.scale)
        for one in made("cubic", 10, deviation=0.05, seed=2)
    ]
    _, rules = fit_bound(clean, {"cubic": made("cubic", 10, deviation=0.05, seed=1) + hidden})
    assert 0.5 < rules["cubic"].growth < 3
    assert fit_bound(clean, {"cubic": hidden})[1]["cubic"].growth == 0.0


def test_the_conformal_factor_is_the_rank_of_one_more_picture() -> None:
    assert conformal_factor(np.arange(1.0, 100.0)) == 90.0
    assert conformal_factor(np.array([1.0, 2.0, 3.0])) == 3.0


def test_halves_of_patients_promise_what_new_patients_keep() -> None:
    random = np.random.default_rng(3)
    factors = {
        kernel: [(f"patient {number // 2}", float(random.normal(2.4, 0.1))) for number in range(200)]
        for kernel in SHARE
    }
    found = cross_coverage(factors, splits=50)
    assert found["mean"] == pytest.approx(0.91, abs=0.03)
    assert found["quantile_05"] <= found["mean"] <= found["quantile_95"]


def test_added_noise_is_white_and_repeats() -> None:
    grey = np.full((200, 200), 120, np.uint8)
    noisy = add_noise(grey, 4.0, 5)
    assert noisy.dtype == np.uint8
    assert noisy.astype(float).std() == pytest.approx(4.0, rel=0.03)
    np.testing.assert_array_equal(noisy, add_noise(grey, 4.0, 5))
    assert add_noise(np.full((9, 9), 255, np.uint8), 4.0, 5).max() == 255
