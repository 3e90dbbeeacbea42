"""Diffusion packages with all steps in one graph, on the CPU and on the doubles of TensorRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelPackage, open_package, write_package
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.load import load
from edgesr.pipelines.unroll_package import FILE, part_files, unrolled
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.diffusion_packages import SCHEDULE, package
from tests.pipelines.test_tensorrt import Machine, picture


def whole(folder: Path, steps: int = 3, **given: Any) -> tuple[ModelPackage, ModelPackage]:
    """A package, and the same with all steps in one graph."""
    source = open_package(package(folder, **given))
    descriptor, made = unrolled(source, steps)
    assert made.deviation < 1e-5
    files = {**part_files(source), FILE: made.graph.bytes()}
    return source, open_package(write_package(folder / "whole.edgesr", descriptor, files))


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"schedule": SCHEDULE | {"_class_name": "DDPMScheduler"}, "pictures": 3},
        {"joined": 0, "condition": 4, "moments": True},
    ],
)
def test_one_call_makes_the_picture_of_the_loop(tmp_path, monkeypatch, given):
    source, one = whole(tmp_path, **given)
    shape = (12, 17, 3) if "pictures" in given else (12, 17)
    image = np.random.default_rng(1).random(shape).astype(np.float32)
    with load(source.path, "cpu") as loop, load(one.path, "cpu") as pipeline:
        assert isinstance(pipeline, LatentDiffusion)
        expected = [loop(image, **options) for options in ({}, {"seed": 7}, {"samples": 3})]
        monkeypatch.setattr("edgesr.pipelines.reverse.Reverse.run", _never)
        found = [pipeline(image, **options) for options in ({}, {"seed": 7}, {"samples": 3})]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def _never(*given: object) -> None:
    raise AssertionError("walked step by step")


@pytest.mark.parametrize("options", [{"steps": 2}, {"consistency": "every-step"}, {"sampler": "euler"}])
def test_what_the_graph_does_not_hold_is_walked_step_by_step(tmp_path, options):
    source, one = whole(tmp_path)
    image = picture(12, 17)
    with load(source.path, "cpu") as loop, load(one.path, "cpu") as pipeline:
        np.testing.assert_array_equal(pipeline(image, **options), loop(image, **options))
        larger = picture(40, 20)
        np.testing.assert_array_equal(pipeline(larger), loop(larger))


def test_a_schedule_that_is_not_the_graph_s_is_refused(tmp_path):
    _, one = whole(tmp_path)
    changed = replace(one.descriptor, schedule=SCHEDULE | {"start_timestep": 60})
    path = write_package(tmp_path / "changed.edgesr", changed, part_files(one))
    with pytest.raises(ModelError, match=r"is not the one that its part 'unrolled' walks; unroll the package again"):
        load(path, "cpu")


def test_steps_that_cannot_be_unrolled_are_refused(tmp_path):
    source = open_package(package(tmp_path))
    for steps, said in ((65, "must be 1 to 64, got 65"), (60, "steps must be 1 to 51")):
        with pytest.raises(UsageError, match=said):
            unrolled(source, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_on_tensorrt_a_picture_takes_one_graph_launch_and_two_copies(version, monkeypatch, tmp_path):
    machine = Machine(version, monkeypatch, tmp_path)
    source, one = whole(tmp_path, schedule=SCHEDULE | {"_class_name": "DDPMScheduler"})
    with load(source.path, "cpu") as loop, load(one.path, "tensorrt") as pipeline:
        for seed in range(3):  # the first two runs load kernels and record the graph
            pipeline(picture(12, 16, seed=seed))
        calls = machine.fake.calls
        for seed in range(3, 6):
            before = {name: calls[name] for name in ("cudaMemcpyAsync", "cudaGraphLaunch", "cudaMalloc")}
            image = picture(12, 16, seed=seed)
            found = pipeline(image)
            spent = {name: calls[name] - count for name, count in before.items()}
            assert spent == {"cudaMemcpyAsync": 2, "cudaGraphLaunch": 1, "cudaMalloc": 0}
            assert np.abs(found.astype(int) - loop(image)).max() <= 1
        before_seed = calls["cudaMemcpyAsync"]
        pipeline(picture(12, 16), seed=9)
        assert calls["cudaMemcpyAsync"] - before_seed == 2 + 3  # the first noise and those of two steps
    machine.fake.check()
