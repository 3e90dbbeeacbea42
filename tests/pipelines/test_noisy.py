"""What is noisier than the pictures of the calibration gets a wider bound, by the downscaler that made it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import edgesr
from edgesr.image.noise import noise_level
from edgesr.model import NoiseRule, find, open_package, write_package
from edgesr.pipelines.noisy import kernel_shares, noise_scale, unusual_noise, widen

RULES = {"cubic": NoiseRule(0.003, 1.2), "area": NoiseRule(0.0015, 3.5)}


@pytest.fixture(scope="module")
def descriptor() -> Any:
    described = open_package(find("cxr-x4-fast")).descriptor
    assert described.uncertainty is not None
    return replace(described, uncertainty=replace(described.uncertainty, noise=RULES))


def noisy(deviation: float, *shape: int) -> np.ndarray:
    values = 0.5 + deviation * np.random.default_rng(3).standard_normal(shape or (60, 60, 1))
    return np.rint(values.clip(0, 1) * 65535).astype(np.uint16)


def test_the_rule_is_the_formula() -> None:
    assert noise_scale(RULES, {"cubic": 1.0}, 0.005) == pytest.approx(1.2 * 0.004)
    assert noise_scale(RULES, {"area": 1.0}, 0.005) == pytest.approx(3.5 * np.sqrt(0.005**2 - 0.0015**2))


def test_of_likely_downscalers_the_one_that_hides_most_noise_counts() -> None:
    cubic, area = (noise_scale(RULES, {kernel: 1.0}, 0.005) for kernel in RULES)
    assert noise_scale(RULES, {"cubic": 0.9, "area": 0.1}, 0.005) == area > cubic
    assert noise_scale(RULES, {"cubic": 0.97, "area": 0.03}, 0.005) == cubic
    assert noise_scale(RULES, {"antialiased": 1.0}, 0.005) == 0.0


@pytest.mark.parametrize("level", [0.0, 0.001, 0.003])
def test_usual_noise_changes_nothing(level: float) -> None:
    assert noise_scale(RULES, {"cubic": 1.0}, level) == 0.0
    scale = np.full((3, 4), 0.01, np.float32)
    np.testing.assert_array_equal(widen(scale, 0.0), scale)


def test_noise_adds_as_independent_errors_do() -> None:
    wide = widen(np.array([[0.0, 0.03]], np.float32), 0.04)
    assert wide.dtype == np.float32
    np.testing.assert_allclose(wide, [[0.04, 0.05]], rtol=1e-6)


def test_rows_are_widened_where_they_lie() -> None:
    """A second copy of those of a wide picture would show in the memory."""
    layer = np.full((3, 4, 1), 0.03, np.float32)
    scale = layer[..., 0]
    assert np.shares_memory(widen(scale, 0.04, out=scale), layer)
    np.testing.assert_allclose(layer, 0.05, rtol=1e-6)


def test_a_model_without_rules_has_none(descriptor: Any) -> None:
    plain = replace(descriptor, uncertainty=replace(descriptor.uncertainty, noise={}))
    assert unusual_noise(plain, {"cubic": 1.0}, noisy(0.05)) == 0.0
    assert unusual_noise(replace(descriptor, uncertainty=None), {"cubic": 1.0}, noisy(0.05)) == 0.0


def test_a_downscaler_without_a_rule_is_taken_for_the_models_own(descriptor: Any) -> None:
    picture = noisy(0.02)
    expected = 1.2 * np.sqrt(noise_level(picture) ** 2 - 0.003**2)
    for shares in ({"cubic": 1.0}, {"antialiased": 1.0}, {"None": 1.0}):
        assert unusual_noise(descriptor, shares, picture) == pytest.approx(expected)


def test_the_shares_are_those_of_the_control_that_a_picture_decides(descriptor: Any) -> None:
    controls = {"fidelity": (0.4,), "degradation": (0.2, 0.5, 0.3)}
    assert kernel_shares(descriptor, controls) == {"cubic": 0.2, "area": 0.5, "antialiased": 0.3}
    fixed = replace(descriptor, controls={"fidelity": descriptor.controls["fidelity"]})
    assert kernel_shares(fixed, {"fidelity": (0.4,)}) == {"cubic": 1.0}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory, descriptor: Any) -> Any:
    """The model without and with rules."""
    package, folder = open_package(find("cxr-x4-fast")), tmp_path_factory.mktemp("rules")
    files = {name: package.read(name) for name in [*package.descriptor.files, package.descriptor.parts["network"].file]}
    opened = []
    for name, rules in (("plain", {}), ("ruled", RULES)):
        changed = replace(descriptor, uncertainty=replace(descriptor.uncertainty, noise=rules))
        opened.append(edgesr.load(write_package(folder / name, changed, files), device="cpu"))
    yield opened
    for pipeline in opened:
        pipeline.close()


@pytest.mark.parametrize("kernel", ["cubic", "area"])
@pytest.mark.parametrize("shape", [(48, 40, 1), (48, 40, 3)])
def test_the_bound_of_a_noisy_picture_is_wider_by_the_rule(pipelines: Any, kernel: str, shape: tuple[int, ...]) -> None:
    picture = noisy(0.03, *shape)
    known = pipelines[1].descriptor.uncertainty
    before, after = (p.restore(picture, uncertainty=True, degradation=kernel) for p in pipelines)
    np.testing.assert_array_equal(before.image, after.image)
    excess = known.factor * noise_scale(RULES, {kernel: 1.0}, noise_level(picture))
    np.testing.assert_allclose(after.std, np.hypot(before.std, excess), rtol=1e-5)
    assert (after.std > before.std).all()


def test_alpha_is_not_taken_for_noise(pipelines: Any) -> None:
    picture = np.concatenate([noisy(0.0001, 48, 40, 1), noisy(0.2, 48, 40, 1)], axis=2)
    before, after = (p.restore(picture, uncertainty=True) for p in pipelines)
    np.testing.assert_array_equal(before.std, after.std)


def test_a_tiled_picture_has_the_noise_of_the_whole(pipelines: Any) -> None:
    """One half is quiet and the other noisy: a tile by itself would see only its own."""
    picture = np.concatenate([noisy(0.004, 80, 160, 1), noisy(0.04, 80, 160, 1)])
    whole = pipelines[1].restore(picture, uncertainty=True)
    with edgesr.load(pipelines[1].package.path, device="cpu", tile=96) as tiled:
        parts = tiled.restore(picture, uncertainty=True)
    np.testing.assert_allclose(parts.std, whole.std, atol=2e-5)
