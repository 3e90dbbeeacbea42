"""The X-ray recipe: it resumes where it stopped, begins from packages, and keeps its phases and patients apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")

from edgesr.pipelines.load import open_model  # noqa: E402
from export.data.xray import check_patients  # noqa: E402
from export.models.cxr import MODELS  # noqa: E402
from export.recipes import cxr  # noqa: E402
from export.recipes.cxr import Trainer  # noqa: E402
from export.recipes.cxr_settings import RECIPES, Recipe  # noqa: E402
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


def _trainer(data: Path, recipe: Recipe = RECIPE) -> Trainer:
    return Trainer(MODEL, recipe, data, data)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(data: Path, tmp_path: Path) -> None:
    whole = _trainer(data)
    for _ in range(RECIPE.steps):
        whole.advance()
    first = _trainer(data)
    for _ in range(2):
        first.advance()
    first.save(tmp_path / "checkpoint.pt")
    second = _trainer(data)
    torch.manual_seed(99)
    second.restore(tmp_path / "checkpoint.pt")
    while second.step < RECIPE.steps:
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


@pytest.mark.parametrize("name", MODELS)
def test_a_network_begins_from_its_package_or_the_onnx_file_in_it(name: str, tmp_path: Path) -> None:
    network, again, third = MODELS[name](), MODELS[name](), MODELS[name]()
    load_weights(network, name)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    load_weights(again, tmp_path / "weights.pt")
    load_weights(third, open_model(name).part_path("network"))
    for a, b, c in zip(network.parameters(), again.parameters(), third.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        torch.testing.assert_close(a, c, rtol=0, atol=0)
    assert float(network.tail.outputs.weight.detach().abs().max()) > 0


def test_a_checkpoint_gives_its_averaged_weights(data: Path, tmp_path: Path) -> None:
    trainer = _trainer(data)
    trainer.advance()
    trainer.save(tmp_path / "checkpoint.pt")
    network = MODELS[MODEL]()
    load_weights(network, tmp_path / "checkpoint.pt")
    for a, b in zip(network.parameters(), trainer.averaged.parameters(), strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=0)
    assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), trainer.network.parameters(), strict=True))


def test_several_sources_give_the_mean_of_their_weights(tmp_path: Path) -> None:
    networks = [MODELS[MODEL]() for _ in range(3)]
    for number, network in enumerate(networks):
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, number**2)
        torch.save(network.state_dict(), tmp_path / f"{number}.pt")
    mean = MODELS[MODEL]()
    load_weights(mean, *(tmp_path / f"{number}.pt" for number in range(3)))
    for parameter in mean.parameters():
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, 5 / 3))


def test_a_seed_decides_which_crops_are_drawn(data: Path) -> None:
    first, again, other = (_trainer(data, replace(RECIPE, seed=seed)).sampler.batch(2, 28)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cxr-x4-fast", "cxr-x4-fast holds another network"),
        ("cxr-x5", "did you mean"),
        ("absent.pt", "absent.pt cannot be read as weights"),
        ("text.pt", "text.pt cannot be read as weights"),
        ("text.onnx", "text.onnx cannot be read as a network"),
    ],
)
def test_initial_weights_that_do_not_fit_are_one_line(
    name: str, says: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("text.pt", "text.onnx"):
        (data / file).write_text("these are no weights\n")
    monkeypatch.chdir(data)
    (data / "cxr" / "val").mkdir(exist_ok=True)
    (data / "cxr" / "val_1024").mkdir(exist_ok=True)
    words = ["recipe", "--data", ".", "--lpips", ".", "--out", "run", "--model", "cxr-x4", "--initial", name]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        cxr.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2
    assert said.startswith("recipe: error: ")
    assert says in said
    assert not (data / "run").exists()


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
