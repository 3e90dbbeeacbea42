"""The teacher of the mean: whom it teaches, and what."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")
pytest.importorskip("onnx")

from export.models.imdn import Imdn  # noqa: E402
from export.models.resample import DEGRADATIONS  # noqa: E402
from export.recipes.teacher import Teacher  # noqa: E402


@pytest.fixture(scope="module")
def network() -> Imdn:
    torch.manual_seed(3)
    return Imdn(channels=16, blocks=2, scale=4).eval()


@pytest.fixture(scope="module")
def teacher(network: Imdn, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    path = tmp_path_factory.mktemp("teacher") / "imdn.pth"
    torch.save(network.state_dict(), path)
    return Teacher(Path(path))


@torch.no_grad()
def test_only_antialiased_crops_are_taught(network: Imdn, teacher: Teacher) -> None:
    low, high = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 32, 32)
    kinds = torch.tensor([DEGRADATIONS.index(name) for name in ("cubic", "antialiased", "area")])
    aim = teacher.taught(low, high, kinds, 0.25)
    assert torch.equal(aim[[0, 2]], high[[0, 2]])
    red, green, blue = network(low[1:2].expand(-1, 3, -1, -1))[0]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(aim[1, 0], 0.75 * high[1, 0] + 0.25 * luma.clamp(0, 1), atol=2e-4, rtol=0)


def test_crops_of_other_kinds_are_left_alone(teacher: Teacher) -> None:
    high = torch.rand(2, 1, 32, 32)
    assert teacher.taught(torch.rand(2, 1, 8, 8), high, torch.tensor([0, 0]), 1.0) is high
