"""Losses of training and the perceptual distance, on pictures where the answer is known."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from export import losses  # noqa: E402
from export.lpips import Lpips  # noqa: E402
from tests.export.seeded import write_lpips  # noqa: E402


def test_lattice_loss_is_small_on_noise_and_one_on_a_pure_lattice() -> None:
    noise = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    pattern = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    pattern -= pattern.mean()
    assert losses.lattice(noise).item() < 0.03
    assert losses.lattice(pattern.tile(1, 1, 32, 32)).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("network", ["alex", "squeeze"])
def test_lpips_of_equal_pictures_is_zero_and_of_others_positive(network: str, tmp_path: Path) -> None:
    write_lpips(tmp_path, network)
    lpips = Lpips(network, tmp_path)
    first, second = torch.rand(2, 1, 1, 64, 64)
    assert lpips(first, first).item() == 0
    assert lpips(first, second).item() > 0
