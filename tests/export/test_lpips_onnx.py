"""LPIPS as an exported network is the LPIPS of PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from edgesr.bench.metrics import Lpips as Exported  # noqa: E402
from edgesr.bench.metrics import Pair, measure_scores  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.lpips import Lpips  # noqa: E402
from tests.export.seeded import write_lpips  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write seeded weights of AlexNet's size, and the network exported from them."""
    place = tmp_path_factory.mktemp("lpips")
    write_lpips(place, "alex")
    assert main(["lpips", "--weights", str(place), "-o", str(place / "alex.onnx")]) == 0
    return place


@pytest.mark.parametrize("shape", [(64, 64, 3), (97, 130, 1), (31, 40, 3)])
def test_the_exported_network_equals_pytorch_at_other_sizes(folder: Path, shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 256, shape).astype(np.uint8)
    second = first.copy()
    second[:, shape[1] // 2 :] = 0  # no features at all: 0 / 0 without the published 1e-10
    lpips = Lpips("alex", folder).eval()
    batches = [torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in (first, second)]
    with torch.no_grad(), Exported(folder / "alex.onnx") as exported:
        assert exported(Pair.of(first, second)) == pytest.approx(lpips(*batches).item(), abs=1e-5)
        assert exported(Pair.of(first, first)) == 0


def test_pictures_below_its_smallest_size_lack_the_figure(folder: Path) -> None:
    picture = np.zeros((40, 30, 1), np.uint8)
    with Exported(folder / "alex.onnx") as exported:
        scores = measure_scores(picture, picture, lpips=exported, metrics=["lpips"])
    assert scores.values == {}
    assert scores.missing == {"lpips": "LPIPS needs 31 pixels on each side, got 30 x 40 without borders"}


def test_wrong_weights_are_refused_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lpips", "--weights", str(tmp_path), "-o", str(tmp_path / "l.onnx")]
    assert main(words) == 3
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "lpips_alex_state_dict.pt").write_bytes(b"nothing")
    assert main(words) == 3
    assert "holds no LPIPS weights of alex" in capsys.readouterr().err
    assert main(["lpips", "--weights", str(folder), "-o", str(tmp_path / "l.pb")]) == 2
    assert not (tmp_path / "l.onnx").exists()
