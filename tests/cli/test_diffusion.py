"""``edgesr pack`` and ``edgesr run`` with latent diffusions."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from edgesr.image import read
from edgesr.image.measurement import residual
from edgesr.model import open_package
from tests.cli.commands import environment, files, run, start
from tests.cli.conftest import Call
from tests.cli.pictures import picture
from tests.cli.test_interrupt import stop
from tests.compile.denoisers import denoiser
from tests.pipelines.diffusion_packages import SCHEDULE, decoder, encoder, package

PACK = ("pack", "--encoder", "encoder.onnx", "--unet", "denoiser.onnx", "--decoder", "decoder.onnx",
        "--schedule", "scheduler_config.json", "-o", "mine.edgesr")  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("model"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that a user has: three networks and a schedule."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder(tmp_path)
    decoder(tmp_path)
    denoiser(tmp_path, joined=4)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(SCHEDULE))
    return tmp_path


def test_three_networks_and_a_schedule_become_a_package_that_runs(call: Call, place: Path) -> None:
    answer = call(*PACK, "--scale", "4", "--trained-size", "32", "--latent-scale", "0.5", "--degradation", "cubic")
    assert (answer.code, answer.out) == (0, "mine.edgesr\n")
    facts = (
        "state is 'sample' (4 channels, 4 channels joined)",
        "timestep 'timestep'",
        "latents are 4 times smaller",
        "enlarged bicubically",
        "range -1 .. 1",
        "the condition is the encoded input",
    )
    assert [fact for fact in facts if fact not in answer.err] == []
    descriptor = open_package("mine.edgesr").descriptor
    assert descriptor.diffusion is not None and descriptor.diffusion.scaling_factor == 0.5
    assert (descriptor.tile, descriptor.size.multiple, descriptor.degradation) == (32, 1, {"kernel": "cubic"})
    answer = call("run", picture(place / "a.png", 20, 24), "-m", "mine.edgesr", "--steps", "2", "--sampler", "dpm++2m")
    assert (answer.code, answer.out) == (0, f"{place}/a_x4.png\n")
    assert "24 x 20 -> 96 x 80" in answer.err and "residual 0." in answer.err
    assert read(place / "a_x4.png").pixels.shape == (80, 96, 1)


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ([], 2, "--scale 4"),
        (["--scale", "3"], 3, "encoder"),
        (["--scale", "4", "--latent-scale", "0"], 3, "scaling_factor"),
        (["--scale", "4", "--role", "state=latents"], 3, "'latents'"),
        (["--scale", "4", "--role", "noise=sample"], 3, "unknown role"),
        (["--scale", "4", "--role", "sample"], 2, "ROLE=TENSOR"),
        (["--scale", "4", "--layout", "NHWC"], 2, "NCHW"),
        (["--scale", "4", "--steps", "400"], 3, "num_inference_steps must be 1 to 300"),
        (["--scale", "4", "--start-timestep", "300"], 3, "start_timestep must be 0 to 299"),
        (["--scale", "4", "--encoder", "decoder.onnx"], 3, "the encoder is given 1; see that --encoder, --unet"),
        (["--scale", "4", "--decoder", "encoder.onnx"], 3, "the decoder is given 4; see that --encoder, --unet"),
        (["--scale", "4", "--unet", "decoder.onnx"], 3, "predicts nothing of its state's size"),
        (["--scale", "4", "--unet", "encoder.onnx"], 3, "no step of a diffusion; give the network that predicts noise"),
        (["--scale", "4", "--schedule", "none.json"], 3, "none.json"),
        (["--scale", "4", "bare.onnx"], 2, "files of a latent diffusion"),
    ],
)
def test_what_cannot_be_packed_is_one_line(call: Call, place: Path, change: list[str], code: int, reason: str) -> None:
    if "3" in change:
        encoder(place, factor=2)
    answer = call(*PACK, *change)
    assert (answer.code, answer.out, reason in answer.error) == (code, "", True), answer.err
    assert not (place / "mine.edgesr").exists()


def test_inputs_that_cannot_be_told_apart_are_named(call: Call, place: Path) -> None:
    denoiser(place, condition=4, names=("first", "t", "second"))
    answer = call(*PACK, "--scale", "4")
    assert (answer.code, "any of 'first', 'second' may be the state" in answer.error) == (3, True)
    answer = call(*PACK, "--scale", "4", "--role", "state=first")
    assert answer.code == 0, answer.err
    assert open_package("mine.edgesr").descriptor.parts["unet"].inputs["condition"] == "second"


def test_half_a_diffusion_is_refused(call: Call, place: Path) -> None:
    assert "--decoder too" in call("pack", "--unet", "denoiser.onnx", "-o", "m.edgesr").error
    assert "give an ONNX file" in call("pack", "-o", "m.edgesr").error
    denoiser(place, joined=4)
    words = [word for word in PACK if word not in ("--encoder", "encoder.onnx")]
    assert (
        "its condition is a latent, which an encoder makes; give it with --encoder"
        in call(*words, "--scale", "4").error
    )


def test_a_run_writes_provenance_and_residual(call: Call, model: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "in/a.png", 20, 24)
    answer = call("run", source, "-m", model, "-o", tmp_path / "out.png", "--seed", "7", "--json")
    (record,) = answer.document["results"]
    assert record["residual"] <= 0.25
    assert answer.document["controls"]["seed"] == 7
    written = read(tmp_path / "out.png")
    text = written.metadata.text
    assert "tiny-diffusion 1.0.0" in text["Comment"] and "seed=7" in text["Comment"] and "steps=3" in text["Comment"]
    assert text["Residual"].startswith(f"{record['residual']:.3f} of 256 grey levels")
    found = residual(written.pixels, read(source).pixels, 4, ["cubic"])
    assert found == pytest.approx(record["residual"], abs=1e-3)
    again = call("run", source, "-m", model, "-o", tmp_path / "again.png", "--seed", "7")
    assert again.code == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize("suffix", ["tif", "dcm"])
def test_other_formats_carry_the_residual_too(call: Call, model: Path, tmp_path: Path, suffix: str) -> None:
    source = picture(tmp_path / f"a.{suffix}", 16, 16, dtype="uint16")
    target = tmp_path / f"out.{suffix}"
    answer = call("run", source, "-m", model, "-o", target)
    assert answer.code == 0, answer.err
    content = target.read_bytes()
    for word in (b"of 256 grey levels RMS", b"tiny-diffusion", b"seed=0"):
        assert word in content
    assert read(target).pixels.dtype == np.uint16


def test_the_gate_on_the_residual_ends_with_5_and_writes_nothing(call: Call, model: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "in/a.png", 20, 24)
    words = ("run", source, "-m", model, "-o", tmp_path / "out.png", "--consistency", "off", "--max-residual", "0.25")
    answer = call(*words)
    assert (answer.code, answer.out) == (5, "")
    assert "beyond clipping and rounding, more than 0.25" in answer.error
    assert files(tmp_path) == ["in/a.png"]
    picture(tmp_path / "in/b.png", 16, 16)
    answer = call("run", tmp_path / "in", *words[2:4], "-o", tmp_path / "all", *words[6:])
    assert (answer.code, "2 failed" in answer.err) == (5, True)
    (tmp_path / "in/c.png").write_bytes(b"no picture")
    assert call("run", tmp_path / "in", *words[2:4], "-o", tmp_path / "all", *words[6:]).code == 6


def test_samples_write_their_deviation_and_a_heat_map(call: Call, model: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 16, 20)
    words = ("run", source, "-m", model, "--samples", "3", "--sampler", "ddpm", "--heat-map", "--json")
    answer = call(*words)
    assert answer.code == 0, answer.err
    assert files(tmp_path) == ["a.png", "a_x4.png", "a_x4_heatmap.png", "a_x4_uncertainty.png"]
    deviation = read(tmp_path / "a_x4_uncertainty.png")
    assert deviation.pixels.dtype == np.uint16 and deviation.pixels.shape == (64, 80, 1)
    assert "standard deviation of 3 samples" in deviation.metadata.text["Description"]
    assert deviation.pixels.max() > 0
    heat = read(tmp_path / "a_x4_heatmap.png").pixels
    assert heat.shape == (64, 80, 3)
    colourful = np.ptp(heat.astype(int), axis=2)
    strong = deviation.pixels[..., 0] > np.quantile(deviation.pixels, 0.9)
    assert colourful[strong].mean() > colourful[~strong].mean()


def test_options_of_one_kind_of_model_are_refused_by_the_other(call: Call, model: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 16, 20)
    assert "no control 'steps'" in call("run", source, "-m", "cxr-x4-fast", "--steps", "3").error
    assert "a number" in call("run", source, "-m", "cxr-x4-fast", "--consistency", "final").error
    assert "off, final, every-step" in call("run", source, "-m", model, "--consistency", "sometimes").error
    assert "samples in place of tta" in call("run", source, "-m", model, "--tta").error
    assert "a whole number" in call("run", source, "-m", model, "--seed", "-1").error
    assert "a whole number" in call("run", source, "-m", model, "--steps", "0").error
    assert files(tmp_path) == ["a.png"]


def test_a_restorer_is_measured_when_a_limit_is_given(call: Call, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 32, 32)
    answer = call("run", source, "-m", "cxr-x4-fast", "--max-residual", "5", "--json")
    assert answer.code == 0, answer.err
    assert 0 <= answer.document["results"][0]["residual"] <= 5
    assert call("run", source, "-m", "cxr-x4-fast", "--max-residual", "0").code in (0, 5)


def test_an_interrupt_between_the_steps_leaves_nothing(model: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "in/a.png", 200, 200)
    target = tmp_path / "out/b.png"
    words = ("run", source, "-m", model, "-o", target, "--steps", "300", "--strength", "1", "--sampler", "ddpm")
    answer = stop(start(*words), signal.SIGINT, lambda: any(target.parent.glob(".*.part")))
    assert (answer.code, answer.out) == (130, "")
    assert answer.error == "interrupted; finished pictures are kept, nothing is half-written"
    assert files(tmp_path) == ["in/a.png"]


def test_steps_are_shown_with_their_rate(model: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 16, 16)
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    words = [sys.executable, "-m", "edgesr", "run", source, "-m", model, "--steps", "40", "--threads", "1"]
    process = subprocess.Popen(words, stderr=child, stdout=subprocess.DEVNULL, env=environment(TERM="xterm"))
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 4096)
        except OSError:
            break
    os.close(parent)
    assert process.wait() == 0
    assert b"/40" in shown and b" steps/s" in shown


def test_a_folder_goes_on_where_it_stopped(model: Path, tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"in/{number}.png", 16, 16, seed=number)
    words = ("run", tmp_path / "in", "-m", model, "-o", tmp_path / "out", "--json")
    first = run(*words, "--seed", "1").document
    assert [record["status"] for record in first["results"]] == ["done", "done"]
    assert [record["status"] for record in run(*words, "--seed", "1").document["results"]] == ["skipped"] * 2
    assert [record["status"] for record in run(*words, "--seed", "2").document["results"]] == ["done"] * 2


def test_a_dicom_result_has_a_parametric_map_and_an_overlay_in_colour(call: Call, model: Path, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")
    from tests.image.test_dicom import dataset, ramp, saved

    source = saved(dataset(ramp()[:16, :16].copy()), tmp_path, "a.dcm")
    words = ("run", source, "-m", model, "--samples", "2", "--heat-map", "--seed", "5", "-o", tmp_path / "b.dcm")
    assert call(*words).code == 0
    assert files(tmp_path) == ["a.dcm", "b.dcm", "b_heatmap.dcm", "b_uncertainty.dcm"]
    made, found, heat = (pydicom.dcmread(tmp_path / f"b{name}.dcm") for name in ("", "_uncertainty", "_heatmap"))
    assert found.SOPClassUID.name == "Parametric Map Storage"
    values = found.pixel_array
    assert values.shape == made.pixel_array.shape == (64, 64) and values.dtype == np.float32
    assert 0 < values.max() <= made.pixel_array.max()
    derivation = found.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert "tiny-diffusion 1.0.0" in derivation.DerivationDescription and "seed=5" in derivation.DerivationDescription
    assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == pydicom.dcmread(source).SOPInstanceUID
    assert (heat.PhotometricInterpretation, heat.StudyInstanceUID) == ("RGB", made.StudyInstanceUID)
    answer = call("inspect", tmp_path / "b.dcm", "--json")
    assert answer.document["settings"]["seed"] == 5 and answer.document["residual"] <= 0.25


@pytest.mark.parametrize("name", ["b.png", "b.tif", "b.jpg"])
def test_inspect_tells_what_made_a_picture(call: Call, model: Path, tmp_path: Path, name: str) -> None:
    source = picture(tmp_path / "a.png", 12, 12)
    assert call("run", source, "-m", model, "--seed", "7", "-o", tmp_path / name).code == 0
    answer = call("inspect", tmp_path / name, "--json")
    record = answer.document
    assert (record["model"], record["version"], record["settings"]["steps"]) == ("tiny-diffusion", "1.0.0", 3)
    assert record["settings"]["seed"] == 7 and record["residual"] >= 0
    assert "  seed: 7" in call("inspect", tmp_path / name).out
    refused = call("inspect", source)
    assert (refused.code, refused.error) == (6, f"{source}: does not say that edgesr made it; WebP and BMP cannot")
    assert call("inspect", source, "--scale", "2").code == 2
