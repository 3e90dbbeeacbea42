"""The X-ray recipe: it learns from the truth and from a teacher, resumes where it stopped, begins from packages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")

import edgesr  # noqa: E402
from export.data.taught import TaughtSampler  # noqa: E402
from export.data.xray import CropSampler, Mixture, check_patients  # noqa: E402
from export.models.cxr import MODELS  # noqa: E402
from export.recipes.cxr import Trainer  # noqa: E402
from export.recipes.cxr_settings import RECIPES, Recipe  # noqa: E402
from export.teach_cxr import teach  # noqa: E402
from export.weights_cxr import load_weights  # noqa: E402
from tests.export.seeded import write_lpips  # noqa: E402

MODEL = "cxr-x4-fast"
RECIPE = replace(RECIPES[MODEL], steps=6, mean_share=0.5, batch=2, side=28, lpips_side=64, warmup=1)


def _pictures(count: int = 2) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    fields = [cv2.GaussianBlur(random.normal(0, 1, (512, 512)), (0, 0), 12) for _ in range(count)]
    return [np.clip(np.rint(128 + 2000 * field), 0, 255).astype(np.uint8) for field in fields]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "cxr" / "train").mkdir(parents=True)
    for number, picture in enumerate(_pictures()):
        cv2.imwrite(str(folder / "cxr" / "train" / f"0000000{number}_000.png"), picture)
    write_lpips(folder, "squeeze")
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let the shipped network answer for a few windows."""
    path = tmp_path_factory.mktemp("taught") / "taught.npz"
    with edgesr.load(MODEL, "cpu", threads=1) as teacher:
        np.savez(path, **teach(teacher, CropSampler(_pictures(), Mixture(noisy=0.0), seed=3), 3))
    return path


def _trainer(data: Path, recipe: Recipe, *taught: Path) -> Trainer:
    return Trainer(MODEL, recipe, data, data, list(taught))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(data: Path, taught: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, taught_share=0.5)
    whole = _trainer(data, recipe, taught)
    for _ in range(recipe.steps):
        whole.advance()
    first = _trainer(data, recipe, taught)
    for _ in range(2):
        first.advance()
    first.save(tmp_path / "checkpoint.pt")
    second = _trainer(data, recipe, taught)
    torch.manual_seed(99)
    second.restore(tmp_path / "checkpoint.pt")
    while second.step < recipe.steps:
        second.advance()
    for a, b in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_mean_rests_while_the_detail_is_trained(data: Path) -> None:
    trainer = _trainer(data, replace(RECIPE, mean_share=0.0))
    load_weights(trainer.network, MODEL)
    before = [parameter.detach().clone() for parameter in trainer.network.mean_parameters()]
    detail = trainer.network.detail.tail.outputs.weight.detach().clone()
    trainer.advance()
    for old, new in zip(before, trainer.network.mean_parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)
    assert not torch.equal(trainer.network.detail.tail.outputs.weight, detail)


def test_a_teacher_of_weight_one_is_all_that_is_compared_with(data: Path, taught: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, mean_share=1.0, taught_weight=1.0, measurement_weight=0.0)
    windows = dict(np.load(taught))
    np.savez(tmp_path / "lies.npz", **(windows | {"high": np.zeros_like(windows["high"])}))
    honest, lied_to = _trainer(data, recipe, taught), _trainer(data, recipe, tmp_path / "lies.npz")
    assert honest.advance() == lied_to.advance()
    partly = _trainer(data, replace(recipe, taught_weight=0.5), tmp_path / "lies.npz")
    assert partly.advance()["mean squared"] > 0.01


def test_what_the_teacher_answered_is_close_to_the_truth_and_not_the_truth(taught: Path) -> None:
    windows = dict(np.load(taught))
    error = windows["taught"].astype(np.float64) - windows["high"] / 255
    assert 0 < np.sqrt(np.square(error).mean()) < 0.3 * (windows["high"] / 255).std()


def test_taught_crops_lie_in_one_place_of_all_their_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    files = [tmp_path / "first.npz", tmp_path / "second.npz"]
    for kind, file in enumerate(files):
        low = random.integers(0, 256, (2, 56, 56)).astype(np.uint8)
        high = low.repeat(4, axis=1).repeat(4, axis=2)
        np.savez(file, low=low, high=high, taught=(high / 255).astype(np.float16), kinds=np.full(2, kind))
    low, high, kinds, answer = TaughtSampler(files, seed=1).batch(64, 28)
    assert low.shape == (64, 1, 28, 28) and set(kinds.tolist()) == {0, 1}
    torch.testing.assert_close(high, low.repeat_interleave(4, 2).repeat_interleave(4, 3))
    torch.testing.assert_close(answer, high, rtol=0, atol=1e-3)
    assert len({tuple(crop.flatten().tolist()) for crop in low}) > 60
    low, high, _, answer = TaughtSampler(files, seed=1, noisy=0.5, largest_noise=2.0).batch(64, 28)
    off = (high - low.repeat_interleave(4, 2).repeat_interleave(4, 3)).abs().amax((1, 2, 3)) * 255
    torch.testing.assert_close(answer, high, rtol=0, atol=1e-3)
    assert 0.3 < float((off > 0.5).float().mean()) < 0.6 and float(off.max()) < 12


@pytest.mark.parametrize("name", MODELS)
def test_a_network_begins_from_its_package(name: str, tmp_path: Path) -> None:
    network, again = MODELS[name](), MODELS[name]()
    load_weights(network, name)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    load_weights(again, tmp_path / "weights.pt")
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert float(network.tail.outputs.weight.detach().abs().max()) > 0


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cxr-x4-fast holds another network: it lacks stem\.weight"):
        load_weights(MODELS["cxr-x4"](), "cxr-x4-fast")


def test_a_patient_who_is_trained_on_and_judged_on_is_named(tmp_path: Path) -> None:
    for folder, names in {"train": ["00000001_000", "00000002_000"], "val": ["00000003_000"], "val_1024": []}.items():
        (tmp_path / "cxr" / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / "cxr" / folder / f"{name}.png").touch()
    check_patients(tmp_path)
    (tmp_path / "cxr" / "val_1024" / "00000002_007.png").touch()
    with pytest.raises(ValueError, match=r"1 patients of .*val_1024 are in cxr/train, too \(00000002\)"):
        check_patients(tmp_path)
