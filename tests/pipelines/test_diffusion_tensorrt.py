"""Latent diffusions through TensorRT, on its doubles: compiled, cached, one launch a picture, and the CPU's picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.compile.engine_cache import EngineCache
from edgesr.pipelines.load import load
from tests.pipelines.diffusion_packages import SCHEDULE, package
from tests.pipelines.test_tensorrt import Machine, one_machine, picture

__all__ = ["one_machine"]

MANY = SCHEDULE | {"num_inference_steps": 9}


@pytest.mark.parametrize(
    ("schedule", "options"), [(SCHEDULE, {}), (MANY, {}), (SCHEDULE, {"sampler": "ddpm", "samples": 3})]
)
def test_the_picture_is_that_of_the_cpu(one_machine: Machine, tmp_path, schedule, options):
    path = package(tmp_path, schedule=schedule)
    notes: list[str] = []
    with load(path, "tensorrt", note=notes.append, **options) as pipeline, load(path, "cpu", **options) as expected:
        assert pipeline.device == "tensorrt:0"
        for image in (picture(12, 16), picture(40, 20)):
            difference = np.abs(pipeline(image).astype(int) - expected(image))
            assert difference.max() <= 1
    parts = ["encoder", "decoder", "step"] + ["unrolled"] * (schedule is SCHEDULE)
    assert all(any(f"tiny-diffusion ({part})" in note for note in notes) for part in parts), notes


def test_few_steps_become_one_launch_and_two_copies_by_themselves(one_machine: Machine, tmp_path):
    path = package(tmp_path)
    with load(path, "cpu") as expected, load(path, "tensorrt") as pipeline:
        for seed in range(3):  # the first two runs load kernels and record the graph
            pipeline(picture(12, 16, seed=seed))
        calls = one_machine.fake.calls
        before = {name: calls[name] for name in ("cudaMemcpyAsync", "cudaGraphLaunch", "cudaMalloc")}
        image = picture(12, 16, seed=4)
        found = pipeline(image)
        spent = {name: calls[name] - count for name, count in before.items()}
        assert spent == {"cudaMemcpyAsync": 2, "cudaGraphLaunch": 1, "cudaMalloc": 0}
        assert np.abs(found.astype(int) - expected(image)).max() <= 1


@pytest.mark.parametrize(("steps", "options"), [(9, {}), (40, {}), (40, {"sampler": "ddpm"}), (4, {"sampler": "ddpm"})])
def test_any_number_of_steps_is_one_launch_and_two_copies_between_encoder_and_decoder(
    one_machine: Machine, tmp_path, steps, options
):
    path = package(tmp_path, schedule=SCHEDULE | {"num_inference_steps": steps})
    with load(path, "cpu", **options) as expected, load(path, "tensorrt", **options) as pipeline:
        for seed in range(3):  # the first two runs load kernels and record the graphs
            pipeline(picture(12, 16, seed=seed))
        calls = one_machine.fake.calls
        before = {name: calls[name] for name in ("cudaMemcpyAsync", "cudaGraphLaunch", "cudaMalloc")}
        image = picture(12, 16, seed=4)
        found = pipeline(image)
        spent = {name: calls[name] - count for name, count in before.items()}
        # Encoder and decoder are graphs of their own, with two copies each.
        assert spent == {"cudaMemcpyAsync": 6, "cudaGraphLaunch": 3, "cudaMalloc": 0}
        assert np.abs(found.astype(int) - expected(image)).max() <= 1


def test_more_steps_than_a_graph_holds_are_walked_in_pieces(one_machine: Machine, tmp_path, monkeypatch):
    monkeypatch.setattr("edgesr.pipelines.stepper._MOST_AT_ONCE", 5)
    path = package(tmp_path, schedule=SCHEDULE | {"num_inference_steps": 12})
    told: list[tuple[int, int]] = []
    with load(path, "cpu", sampler="ddpm") as expected, load(path, "tensorrt", sampler="ddpm") as pipeline:
        image = picture(12, 16)
        bands = pipeline.bands(image[..., None], on_tile=lambda *at: told.append(at))
        found = np.concatenate([band.rows for band in bands])[..., 0]
        assert np.abs(found.astype(int) - expected(image)).max() <= 1
    assert told == [(step + 1, 12) for step in range(12)]


def test_engines_and_the_unrolled_graph_are_found_again(one_machine: Machine, tmp_path, monkeypatch):
    path = package(tmp_path)
    with load(path, "tensorrt") as pipeline:
        first = pipeline(picture(12, 16))
    engines = len(list(EngineCache().folder.glob("*.engine")))
    assert engines == 3  # encoder, decoder and the whole; a step would be made for other schedules only
    monkeypatch.setattr("edgesr.pipelines.unroll_package.unroll", None)
    notes: list[str] = []
    with load(path, "tensorrt", note=notes.append) as pipeline:
        np.testing.assert_array_equal(pipeline(picture(12, 16)), first)
    assert notes == []
