"""The latent diffusion's recipe: it learns, it resumes where it stopped, it uses the schedule that is written."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("scipy")

from edgesr.schedule import ScheduleConfig, make_schedule  # noqa: E402
from export.data.pairing import PairSampler  # noqa: E402
from export.models.autoencoder import GreyAutoencoder, klt  # noqa: E402
from export.models.unet_lite import UNetLite  # noqa: E402
from export.recipes.latent_diffusion import Trainer, changed, read_latents, read_pictures, train  # noqa: E402
from export.recipes.latent_stages import EPSILON_SCHEDULE, EpsilonStage, Recipe  # noqa: E402
from export.recipes.latent_validation import diffuse  # noqa: E402

RECIPE = Recipe(batch=2, side=8, warmup=1)


def _pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    fields = [cv2.GaussianBlur(random.normal(0, 1, (96, 96)), (0, 0), 2) for _ in range(2)]
    return [np.clip(np.rint(128 + 300 * field), 0, 255).astype(np.uint8) for field in fields]


def _autoencoder() -> GreyAutoencoder:
    network = GreyAutoencoder(4)
    network.begin(*klt(_pictures()))
    return network.eval().requires_grad_(False)


def _trainer(steps: int) -> Trainer:
    torch.manual_seed(0)
    stage = EpsilonStage(RECIPE, UNetLite(), _autoencoder())
    return Trainer(stage, RECIPE, PairSampler(_pictures(), 0, extent=48), steps, None)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = _trainer(6)
    while whole.progress < 1:
        whole.advance()
    first = _trainer(6)
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "checkpoint.pt")
    second = _trainer(6)
    torch.manual_seed(99)
    second.restore(tmp_path / "checkpoint.pt")
    while second.progress < 1:
        second.advance()
    for a, b in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_run_has_one_length() -> None:
    for steps, minutes in ((None, None), (5, 1.0)):
        with pytest.raises(ValueError, match="one of the two"):
            Trainer(_trainer(1).stage, RECIPE, PairSampler(_pictures(), 0, extent=48), steps, minutes)


def test_training_noise_prediction_lowers_its_error() -> None:
    trainer = _trainer(30)
    errors = [trainer.advance()["noise"] for _ in range(30)]
    assert np.mean(errors[:2]) > 0.96, "a network that says 0 is wrong by the power of the noise, 1"
    assert np.mean(errors[-10:]) < 0.95


def test_a_run_leaves_weights_curves_and_a_checkpoint(tmp_path: Path) -> None:
    trainer = _trainer(2)
    train(trainer, lambda network, picture: {"channels": network.channels}, tmp_path, 1e9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "curves.csv", "weights.pt"]
    rows = (tmp_path / "curves.csv").read_text().splitlines()
    assert rows[0] == "step,quantity,value" and "2,channels,4" in rows
    UNetLite().load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))


def test_noise_levels_are_those_of_the_written_schedule() -> None:
    diffusers = pytest.importorskip("diffusers")
    known = {key: value for key, value in EPSILON_SCHEDULE.items() if key[0] != "_" and key != "num_inference_steps"}
    expected = diffusers.DDPMScheduler(**known).alphas_cumprod
    torch.testing.assert_close(_trainer(1).stage.levels, expected, rtol=1e-4, atol=1e-6)


def test_the_levels_end_where_the_paper_ends() -> None:
    # The signal that is left at the last of 300 linear steps from 1e-4 to 0.02.
    betas = 1e-4 + (0.02 - 1e-4) * np.arange(300) / 299
    np.testing.assert_allclose(_trainer(1).stage.levels[-1], np.prod(1 - betas), rtol=1e-5)


def test_a_network_that_knows_the_noise_gets_the_picture_back() -> None:
    autoencoder = _autoencoder()
    picture = _pictures()[0]
    latent = autoencoder.encode(torch.from_numpy(picture)[None, None].float() / 127.5 - 1)
    config = ScheduleConfig.from_json(EPSILON_SCHEDULE, source="test")
    schedule = make_schedule(config, 5, sampler="ddim")

    class Oracle(torch.nn.Module):
        def forward(self, state: torch.Tensor, condition: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            level = torch.tensor(np.prod(1 - np.linspace(1e-4, 0.02, 300)[: int(t) + 1]), dtype=torch.float32)
            return (state - level.sqrt() * condition) / (1 - level).sqrt()

    found = diffuse(Oracle(), autoencoder, schedule, latent)
    expected = (autoencoder.decode(latent)[0, 0].numpy() + 1) * 127.5
    assert np.abs(found - np.clip(expected, 0, 255)).max() < 1


def test_pictures_of_one_folder_are_split_by_patient(tmp_path: Path) -> None:
    for patient in range(30):
        for study in range(2):
            cv2.imwrite(str(tmp_path / f"{patient:08d}_{study:03d}.png"), np.full((4, 4), patient, np.uint8))
    train_on, validate_on = read_pictures(tmp_path, None)
    first, second = ({int(picture[0, 0]) for picture in part} for part in (train_on, validate_on))
    assert first and second and not first & second


def test_a_later_stage_without_an_autoencoder_says_what_to_give() -> None:
    with pytest.raises(SystemExit, match="--autoencoder"):
        read_latents(None, None, 4)


def test_the_command_line_changes_only_what_it_says_of_the_recipe() -> None:
    arguments = argparse.Namespace(rollout=0.0, lpips_weight=None, seed=7, steps=3)
    assert changed(RECIPE, arguments) == replace(RECIPE, rollout=0.0, seed=7)
