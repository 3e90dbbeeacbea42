"""``edgesr tune``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgesr.image import Metadata, Picture, write
from edgesr.image.resample import downscale
from edgesr.model import open_package
from edgesr.tune.search import Found
from tests.cli.conftest import Call
from tests.compile.denoisers import denoiser
from tests.pipelines.diffusion_packages import decoder, encoder, package

SCHEDULE = {"_class_name": "DDPMScheduler", "num_train_timesteps": 20, "clip_sample": False, "num_inference_steps": 20}
RNG = np.random.default_rng(4)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package, large pictures, and the small ones of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    package(tmp_path, schedule=SCHEDULE)
    for folder in ("large", "small"):
        (tmp_path / folder).mkdir()
    for index in range(2):
        large = np.rint(np.kron(RNG.random((6, 6)), np.ones((8, 8))) * 255).astype(np.uint8)[..., None]
        small = np.clip(np.rint(downscale(large.astype(np.float64), 4, "area")), 0, 255).astype(np.uint8)
        for folder, pixels in (("large", large), ("small", small)):
            write(tmp_path / folder / f"{index}.png", Picture([pixels], Metadata(format="PNG")))
    return tmp_path


def test_a_package_becomes_one_of_few_steps_that_runs(call: Call, place: Path) -> None:
    words = ("tune", "tiny-diffusion.edgesr", "--images", "large", "--max-evaluations", "2", "--threads", "1")
    answer = call(*words)
    assert answer.code == 0, answer.err
    first, head, full, *rows = answer.out.splitlines()
    assert first == "tiny-diffusion-tuned.edgesr"
    assert head.split() == ["evaluations", "ms", "PSNR", "SSIM", "GMSD", "setting"]
    assert full.split()[:2] == ["full", "20"]
    assert any(row.startswith("best") for row in rows)
    assert "settings were tried on 2 pictures of large, 12 x 12" in answer.err
    tuned = open_package(place / first).descriptor
    source = open_package(place / "tiny-diffusion.edgesr").descriptor
    assert tuned.name == "tiny-diffusion-tuned"
    assert tuned.schedule is not None
    assert tuned.schedule["num_inference_steps"] <= 2
    assert {name: part.sha256 for name, part in tuned.parts.items()} == {
        name: part.sha256 for name, part in source.parts.items()
    }
    assert [row["evaluations"] for row in tuned.quality][-1] == 20
    result = call("run", "small/0.png", "-m", first, "-o", "out.png", "--json")
    assert result.code == 0
    assert json.loads(result.out)["controls"]["steps"] == tuned.schedule["num_inference_steps"]
    again = call(*words, "--json")
    found = json.loads(again.out)
    assert (again.code, again.err) == (0, "")
    assert found["best"]["psnr"] >= found["full"]["psnr"]
    assert found["output"] == first
    assert found["best"] in found["finalists"] or any(
        {k: v for k, v in row.items() if k != "below_full"} == found["best"] for row in found["finalists"]
    )


def test_files_and_pairs_do_as_well(call: Call, place: Path) -> None:
    encoder(place)
    decoder(place)
    denoiser(place, joined=4)
    schedule = {key: value for key, value in SCHEDULE.items() if key != "num_inference_steps"}
    (place / "scheduler_config.json").write_text(json.dumps(schedule))
    answer = call(
        "tune", "--encoder", "encoder.onnx", "--unet", "denoiser.onnx", "--decoder", "decoder.onnx", "--schedule",
        "scheduler_config.json", "--scale", "4", "--lr", "small", "--hr", "large", "--max-evaluations", "1",
        "--threads", "1", "-o", "mine.edgesr", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["full"]["evaluations"] == 20
    assert open_package(place / "mine.edgesr").descriptor.name == "mine"


def test_where_nothing_reaches_the_full_schedule_nothing_is_written(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgesr.cli import tune

    search = tune._search

    def worse(*given: object) -> Found:
        found = search(*given)  # type: ignore[arg-type]
        best = replace(found.reference, scores=tuple(replace(s, psnr=99.0) for s in found.reference.scores))
        return replace(found, reference=best)

    monkeypatch.setattr(tune, "_search", worse)
    words = ("tune", "tiny-diffusion.edgesr", "--images", "large", "--max-evaluations", "1", "--threads", "1")
    for extra in ((), ("--json",)):
        answer = call(*words, *extra)
        assert answer.code == 5
        assert "reaches the full schedule of 20 evaluations" in answer.err
        assert "is below 99.000 dB; nothing was written" in answer.err
        assert not (place / "tiny-diffusion-tuned.edgesr").exists()
    assert json.loads(answer.out)["output"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--images", "large"), 2, "say what a picture may cost: --max-evaluations 3, or --budget 50ms"),
        (("--budget", "50ms"), 2, "give pictures: large ones with --images, or pairs with --lr and --hr"),
        (("--budget", "50ms", "--lr", "small"), 2, "or pairs with --lr and --hr"),
        (("--budget", "50", "--images", "large"), 2, "expected a time such as 50ms or 1.5s, got '50'"),
        (("--max-evaluations", "0", "--images", "large"), 2, "expected a whole number from 1"),
        (("--max-evaluations", "1", "--images", "nothing"), 6, "nothing"),
        (("--max-evaluations", "1", "--lr", "large", "--hr", "small"), 6, "not 4 times"),
        (("--max-evaluations", "1", "--images", "large", "--lpips", "none.onnx"), 3, "none.onnx"),
        (("--max-evaluations", "1", "--images", "large", "--unet", "u.onnx"), 2, "--unet is for the files"),
        (("--max-evaluations", "1", "--images", "large", "--range", "0,1"), 2, "range can be set for files only"),
    ],
)
def test_bad_words_get_one_line(call: Call, place: Path, words: tuple[str, ...], code: int, said: str) -> None:
    answer = call("tune", "tiny-diffusion.edgesr", *words)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.error


def test_only_diffusions_are_tuned(call: Call, place: Path) -> None:
    answer = call("tune", "cxr-x4-fast", "--images", "large", "--max-evaluations", "1")
    assert (answer.code, "only a latent diffusion can be tuned" in answer.error) == (3, True)
    answer = call("tune", "--images", "large", "--max-evaluations", "1")
    assert (answer.code, "give a package, or --encoder, --unet" in answer.error) == (2, True)
