"""The parts of the diffusion benchmark: PyTorch's walk is that of the schedule, tables judge, the plot is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.diffusion.command import Plan, Results
from benchmarks.diffusion.memory import Footprint, measure_memory
from benchmarks.diffusion.plot import draw_plot
from benchmarks.diffusion.report import render
from benchmarks.diffusion.results import (
    BARE,
    CALL,
    COMMAND,
    EAGER,
    FOLDER,
    FULL,
    FULL_PROCESS,
    LOOP,
    PROCESS,
    PUBLISHED,
    SAME,
    SHORT,
    Point,
    Speed,
)  # fmt: skip
from benchmarks.environment import Environment
from edgesr.image import read
from edgesr.schedule import ScheduleConfig, make_schedule, sample

MIB = 1 << 20
SECONDS = {
    FULL: [40.0, 44.0], FULL_PROCESS: [50.0, 52.0],
    PUBLISHED: [30.0, 32.0], PROCESS: [36.0, 36.0], EAGER: [20.0, 24.0], SAME: [10.0, 12.0],
    LOOP: [1.31, 1.32, 1.33], SHORT: [0.3, 0.3, 0.3],
    BARE: [1.0, 1.0, 1.0], COMMAND: [0.25, 0.2], FOLDER: [0.12, 0.12], CALL: [0.1, 0.1],
}  # fmt: skip


def point(method: str, evaluations: int, **changes: float) -> Point:
    values = {
        "psnr": 33.0, "ssim": 0.91, "lpips": 0.1, "lpips_ratio": 0.35, "residual": 0.05, "residual_most": 0.09,
        "orthogonal_gain": 0.004, "orthogonal_worst": 0.0003,
    }  # fmt: skip
    return Point(method, evaluations, **(values | changes))


def results(**changes: object) -> Results:
    environment = Environment("2026-11-21", "a machine", "x86_64-2c-amd", "Linux 6", {"numpy": "2.0"}, "abc123", 0.0)
    quality = [point("bicubic", 0, psnr=32.5, lpips_ratio=1.0), point("few", 1), point("few", 4, lpips_ratio=0.34)]
    memory = [Footprint(64, 160 * MIB, 10 * MIB)]
    made = {"speed": Speed(SECONDS, 61.2, [1.0, 2.0]), "quality": quality, "memory": memory} | changes
    return Results(environment, Plan(2, 2, 1, (1, 4), (64,)), 0.3, **made)


def test_ratios_are_taken_pair_by_pair_and_judged() -> None:
    lines = render(results()).splitlines()
    assert "| 300 steps, our networks / edgesr: loaded / a process | 140.0 (130.0 - 150.0) | 100 | yes |" in lines
    assert "| 300 steps, our networks / edgesr: a process | 162.0 (153.0 - 171.0) | 100 | yes |" in lines
    assert "| 300 steps, published size / edgesr: loaded | 420.0 (410.0 - 430.0) | 100 | yes |" in lines
    assert "| a step beside its call of the engine, % | 1.5 (1.2 - 1.8) | 3 | yes |" in lines
    assert "| a step against a bare call of its network, % | 2.0 (1.5 - 2.5) |  |  |" in lines
    assert "| PyTorch eager / edgesr, same 300 steps | 2.00 (2.00 - 2.00) | 1.5 | yes |" in lines
    assert "| PSNR of the two 300-step pictures from one noise | 61.2 dB | 40 dB | yes |" in lines
    assert "| largest residual of any picture | 0.090 grey levels | 0.25 | yes |" in lines
    assert "| 64 x 64 to 256 x 256 | 160 | 150 |" in lines
    assert not [line for line in lines if "Preliminary" in line]


def test_targets_that_are_missed_say_so() -> None:
    slow = Speed({**SECONDS, COMMAND: [3.0, 3.0], SAME: [20.0, 24.0]}, 39.0, [3.5])
    lost = [point("bicubic", 0), point("few", 4, orthogonal_worst=-0.002, residual_most=0.3)]
    text = render(results(speed=slow, quality=lost))
    assert text.count("| no |") == 9


def test_the_plot_shows_a_line_for_each_method(tmp_path: Path) -> None:
    draw_plot(results().quality, tmp_path / "plot.png")
    pixels = read(tmp_path / "plot.png").pixels.reshape(-1, 3)
    assert (pixels == (0x1B, 0x6C, 0xA8)).all(axis=1).sum() > 500


def test_memory_is_that_of_a_process_of_its_own(tmp_path: Path) -> None:
    (found,) = measure_memory("cxr-x4-fast", [16], tmp_path, threads=1)
    assert 3 * MIB < found.interpreter < 60 * MIB
    assert found.peak > found.interpreter + 20 * MIB


@pytest.mark.parametrize("through_numpy", [True, False])
def test_the_eager_walk_is_that_of_the_schedule(through_numpy: bool) -> None:
    torch = pytest.importorskip("torch", reason="the published side is PyTorch")
    pytest.importorskip("cv2", reason="the networks' package needs OpenCV")
    from benchmarks.diffusion.eager import CHANNELS, EagerDiffusion
    from export.models.autoencoder import GreyAutoencoder
    from export.models.unet_lite import UNetLite

    torch.manual_seed(3)
    unet, autoencoder = UNetLite(CHANNELS), GreyAutoencoder(CHANNELS)
    torch.nn.init.normal_(unet.head.weight, std=0.05)
    config = ScheduleConfig.from_json(
        {"_class_name": "DDPMScheduler", "num_train_timesteps": 6, "clip_sample": False}, source="test"
    )
    schedule = make_schedule(config, 6)
    low = np.random.default_rng(1).integers(60, 200, (8, 8), np.uint8)
    eager = EagerDiffusion(autoencoder.eval(), unet, schedule)
    noise = eager.draw(low, seed=5)
    found = eager(low, noise, through_numpy=through_numpy)
    with torch.inference_mode():
        from edgesr.image.resample import upscale

        large = upscale(low[..., None].astype(np.float32) / 255, 4)[..., 0] * 2 - 1
        condition = autoencoder.encode(torch.from_numpy(large)[None, None])

        def network(state: np.ndarray, t: float) -> np.ndarray:
            return unet(torch.from_numpy(state.astype(np.float32)), condition, torch.tensor([t])).numpy()

        first = schedule.first_state(condition.numpy(), noise[0]).astype(np.float64)
        last = sample(schedule, network, first, lambda step: noise[step + 1]).astype(np.float32)
        expected = (autoencoder.decode(torch.from_numpy(last)).clamp(-1, 1) + 1) / 2
    assert found.shape == (32, 32)
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=2e-5)
