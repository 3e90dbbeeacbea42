"""The figures that gate a trained network, on pictures where the answer is known."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

from export import losses, metrics  # noqa: E402
from export.lpips import Lpips, _alex_slices, _squeeze_slices  # noqa: E402


def _texture(side: int = 128) -> np.ndarray:
    return np.random.default_rng(0).normal(128, 20, (side, side))


def test_grid_index_is_one_on_noise_and_finds_a_lattice() -> None:
    plain = _texture()
    lattice = np.tile(np.pad([[20.0]], ((0, 3), (0, 3))), (32, 32))
    assert metrics.grid_index(plain) == pytest.approx(1, abs=0.8)
    assert metrics.grid_index(plain + lattice) > 10 * metrics.grid_index(plain)


def test_lattice_loss_is_small_on_noise_and_one_on_a_pure_lattice() -> None:
    noise = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    pattern = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    pattern -= pattern.mean()
    assert losses.lattice(noise).item() < 0.03
    assert losses.lattice(pattern.tile(1, 1, 32, 32)).item() == pytest.approx(1, abs=1e-3)


def test_detail_precision_of_true_and_of_invented_detail() -> None:
    bicubic = np.zeros((64, 64))
    true = _texture(64) - 128
    assert metrics.detail_precision(true / 2, bicubic, true) == pytest.approx(2)
    assert metrics.detail_precision(true.T - true, bicubic, true + true.T) == pytest.approx(0, abs=1e-9)


def test_psnr_is_computed_in_floating_point() -> None:
    image = np.full((32, 32), 10, np.uint8)
    assert metrics.psnr(image, image + np.uint8(200)) == pytest.approx(20 * np.log10(255 / 200))


@pytest.mark.parametrize("network", ["alex", "squeeze"])
def test_lpips_of_equal_pictures_is_zero_and_of_others_positive(network: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    slices = {"alex": _alex_slices, "squeeze": _squeeze_slices}[network]()
    state = {f"sl.{name}": value for name, value in slices.state_dict().items()}
    widths = {"alex": (64, 192, 384, 256, 256), "squeeze": (64, 128, 256, 384, 384, 512, 512)}[network]
    state |= {f"lin.{i}": torch.rand(1, width, 1, 1) for i, width in enumerate(widths)}
    state |= {"shift": torch.zeros(1, 3, 1, 1), "scale": torch.ones(1, 3, 1, 1)}
    torch.save(state, tmp_path / f"lpips_{network}_state_dict.pt")
    lpips = Lpips(network, tmp_path)
    first, second = torch.rand(2, 1, 1, 64, 64)
    assert lpips(first, first).item() == 0
    assert lpips(first, second).item() > 0
