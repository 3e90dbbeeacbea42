from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import edgesr
from edgesr.errors import AccuracyError, BackendError, ModelError, UsageError
from edgesr.image import read
from edgesr.model import Diffusion, ErrorLink, SizeRequirements, Uncertainty
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.linked import error_scale
from edgesr.schedule import SAMPLERS, ScheduleConfig, make_schedule
from tests.compile.denoisers import denoiser
from tests.pipelines.diffusion_packages import SCHEDULE, Reference, package

RNG = np.random.default_rng(5)
Load = Callable[..., LatentDiffusion]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Write a package and load it; keywords of ``package`` in ``given``, others for the pipeline."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened: list[Any] = []

    def make(given: dict[str, Any] | None = None, **options: Any) -> LatentDiffusion:
        path = package(tmp_path, **(given or {}))
        opened.append(edgesr.load(path, "cpu", threads=1, **options))
        return opened[-1]

    yield make
    for pipeline in opened:
        pipeline.close()


def picture(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Smooth random pixels in the middle of the range."""
    coarse = RNG.random((shape[0] // 4 + 2, shape[1] // 4 + 2, *shape[2:]))
    smooth = 0.25 + 0.5 * np.kron(coarse, np.ones((4, 4) + (1,) * len(shape[2:])))[: shape[0], : shape[1]]
    return smooth.astype(dtype) if dtype == "float32" else np.rint(smooth * np.iinfo(dtype).max).astype(dtype)


def test_a_package_of_this_task_loads_as_a_latent_diffusion(load):
    pipeline = load()
    assert isinstance(pipeline, LatentDiffusion)
    result = pipeline.restore(picture(16, 16, dtype="uint8"))
    assert (result.image.shape, result.image.dtype) == ((64, 64), np.uint8)
    assert result.meta["controls"] == {
        "steps": 3, "sampler": "ddim", "first_timestep": 50.0, "start": "noised", "seed": 0, "consistency": "final",
        "samples": 1, "degradation": "cubic",
    }  # fmt: skip
    assert result.std is None
    assert set(result.timings) == {"pre", "h2d", "infer", "d2h", "post", "total"}
    assert result.timings["infer"] > 0


@pytest.mark.parametrize(
    ("sampler", "given"),
    [
        *((sampler, {}) for sampler in SAMPLERS if sampler != "resshift"),
        *((sampler, {"joined": 0, "condition": 4}) for sampler in ("ddpm", "dpm++2m")),
        ("ddim", {"joined": 0}),
        ("ddim", {"moments": True}),
    ],
)
def test_the_picture_is_that_of_the_numpy_loop(load, tmp_path, sampler, given):
    pipeline = load(given, sampler=sampler, seed=11, consistency="off")
    kind = "separate" if given.get("condition") else "joined" if given.get("joined", 4) else None
    schedule = make_schedule(ScheduleConfig.from_json(SCHEDULE, source="test"), sampler=sampler)
    image = picture(12, 20)
    expected = Reference(tmp_path, schedule, kind)(image, seed=11)
    assert np.std(expected) > 0.05 and np.mean((expected < 0) | (expected > 1)) < 0.5
    np.testing.assert_allclose(pipeline(image), np.clip(expected, 0, 1), atol=2e-5)


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++2m"])
@pytest.mark.parametrize("shape", [(60, 47), (16, 90), (37, 16)])
def test_tiles_give_what_the_whole_picture_gives(load, sampler, shape):
    image = picture(*shape)
    whole = load(tile=128, sampler=sampler, consistency="off")(image)
    for batch in (1, 3):
        tiled = load(tile=24, sampler=sampler, batch=batch, consistency="off")(image)
        np.testing.assert_allclose(tiled, whole, atol=2e-6)


def test_tiles_of_networks_that_see_everything_are_blended(load):
    image = picture(60, 60)
    tiled = load({"receptive_field": None}, consistency="off")(image)
    whole = load({"receptive_field": None}, tile=60, consistency="off")(image)
    # This network is local and the context of 2 latents just misses its decoder's: blending hides the difference.
    assert np.abs(tiled - whole).max() < 0.05


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("pictures", [1, 3])
def test_type_channels_and_rank_come_back_as_they_went_in(load, dtype, channels, pictures):
    image = picture(*(9, 14, channels) if channels else (9, 14), dtype=dtype)
    result = load({"pictures": pictures})(image)
    assert result.dtype == dtype
    assert result.shape == (36, 56, *image.shape[2:])


def test_colour_planes_are_each_a_grey_picture(load):
    pipeline = load(seed=3)
    image = picture(16, 16, 3, dtype="uint8")
    result = pipeline(image)
    for channel in range(3):
        np.testing.assert_array_equal(result[..., channel], pipeline(image[..., channel]))


def test_a_seed_gives_the_same_picture_and_another_seed_another(load):
    pipeline = load(sampler="ddpm", consistency="off")
    image = picture(16, 16)
    first = pipeline(image, seed=1)
    np.testing.assert_array_equal(first, pipeline(image, seed=1))
    assert np.abs(first - pipeline(image, seed=2)).max() > 1e-3
    assert np.abs(first - pipeline(image, seed=2**64 - 1)).max() > 1e-3


def test_pictures_that_are_no_whole_latents_are_padded_and_cut(load):
    around = {"scale": 2, "tile": 32, "receptive_field": 4}
    pipeline = load(around, consistency="off")
    for shape in ((1, 1), (7, 9), (33, 2), (70, 41)):
        assert pipeline(picture(*shape)).shape == (shape[0] * 2, shape[1] * 2)
    whole = load(around, tile=128, consistency="off")
    image = picture(71, 63)
    np.testing.assert_allclose(load(around, tile=64, consistency="off")(image), whole(image), atol=2e-6)


def test_fixed_sizes_and_batches_are_filled_up(load):
    bound = load({"shape": (2, 24, 24), "size": SizeRequirements(fixed=(24, 24))}, consistency="off", sampler="ddpm")
    free = load(consistency="off", sampler="ddpm", tile=24)
    for height, width in ((40, 30), (61, 25)):
        image = picture(height, width)
        np.testing.assert_allclose(bound(image), free(image), atol=2e-6)
    small = picture(9, 24)
    padded = np.pad(small, ((0, 15), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(bound(small, samples=3), bound(padded, samples=3)[:36])


def test_the_result_agrees_with_the_measurement(load):
    image = picture(40, 30, dtype="uint8")
    off = load(consistency="off").restore(image)
    assert off.residual > 3
    for mode in ("final", "every-step"):
        result = load(consistency=mode).restore(image)
        assert result.residual <= 0.25
        assert result.consistency < 0.6
    weak = load(consistency=0.5).restore(image)
    assert 0.3 * off.residual < weak.residual < 0.7 * off.residual
    assert weak.meta["controls"]["consistency"] == 0.5


def test_a_residual_above_the_limit_is_an_accuracy_error(load):
    pipeline = load(consistency="off")
    with pytest.raises(AccuracyError, match="beyond clipping and rounding"):
        pipeline.restore(picture(16, 16, dtype="uint8"), max_residual=0.25)
    assert pipeline.restore(picture(16, 16, dtype="uint8"), max_residual=0.25, consistency="final").residual <= 0.25


@pytest.mark.parametrize("mode", ["final", "every-step"])
def test_consistency_in_bands_is_that_of_the_whole_picture(load, mode):
    image = picture(150, 20, dtype="uint8")
    whole = load(tile=256, consistency=mode).restore(image)
    tiled = load(tile=24, consistency=mode).restore(image)
    assert np.abs(whole.image.astype(int) - tiled.image).max() <= 1
    assert tiled.residual <= 0.25


def test_samples_give_mean_and_deviation_and_fidelity_lies_between(load):
    pipeline = load(sampler="ddpm", consistency="off")
    image = picture(16, 16)
    mean = pipeline.restore(image, samples=5, uncertainty=True)
    single = [
        pipeline(image, samples=2, fidelity=0.0),
        pipeline(image, samples=1),
    ]
    np.testing.assert_array_equal(*single)
    half = pipeline(image, samples=5, fidelity=0.5)
    np.testing.assert_allclose(half, (mean.image + single[1]) / 2, atol=1e-6)
    assert mean.std.shape == (64, 64)
    assert mean.std.dtype == np.float32
    assert mean.meta["controls"]["fidelity"] == 1.0


def test_mean_and_deviation_are_those_of_the_samples(load, tmp_path):
    pipeline = load(sampler="ddpm", consistency="off")
    image = picture(12, 12)
    schedule = make_schedule(ScheduleConfig.from_json(SCHEDULE, source="test"), sampler="ddpm")
    reference = Reference(tmp_path, schedule, "joined")
    stack = np.clip([reference(image, sample_number=number) for number in range(4)], 0, 1)
    result = pipeline.restore(image, samples=4, uncertainty=True)
    np.testing.assert_allclose(result.image, stack.mean(axis=0), atol=3e-5)
    np.testing.assert_allclose(result.std, stack.std(axis=0, ddof=1), atol=5e-5)


def test_eight_threads_get_what_one_gets(load):
    pipeline = load(sampler="ddpm", tile=24)
    images = [picture(30 + 3 * i, 20 + i, dtype="uint8") for i in range(8)]
    expected = [pipeline(image) for image in images]
    results: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda i=i: results.__setitem__(i, pipeline(images[i]))) for i in range(len(images))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, image in enumerate(expected):
        np.testing.assert_array_equal(results[index], image)


def test_steps_are_told_and_an_exception_between_them_cancels(load):
    pipeline = load()
    told: list[tuple[int, int]] = []
    pipeline.restore(picture(16, 16), on_tile=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]

    def cancel(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):
        pipeline.restore(picture(40, 40), on_tile=cancel, samples=2)
    assert told == [(1, 6), (2, 6)]
    assert pipeline(picture(16, 16)).shape == (64, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"steps": 52}, "steps must be 1 to 51"),
        ({"steps": 400, "strength": 1.0}, "steps must be 1 to 300"),
        ({"sampler": "ddpn"}, "sampler must be one of ddpm"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"seed": 2**64}, "seed must be a whole number from 0"),
        ({"strength": 0}, "above 0"),
        ({"consistency": "always"}, "off, final, every-step or a number"),
        ({"consistency": 1.5}, "off, final, every-step or a number"),
        ({"samples": 0}, "samples must be"),
        ({"fidelity": 0.5}, "samples 2 or more"),
        ({"fidelity": float("nan"), "samples": 2}, "fidelity must be"),
        ({"degradation": "lanczos"}, "degradation must be cubic"),
        ({"step": 3}, "did you mean 'steps'"),
        ({"tile": 3}, "tile must be at least"),
        ({"tta": True}, "samples in place of tta"),
        ({"batch": 0}, "batch must be at least 1"),
    ],
)
def test_wrong_options_are_one_clear_line(load, options, message):
    with pytest.raises(UsageError, match=message):
        load(**options)


def test_uncertainty_needs_samples(load):
    with pytest.raises(UsageError, match="samples 2 or more"):
        load().restore(picture(8, 8), uncertainty=True)


def test_a_package_without_a_downscaler_has_no_consistency(load):
    pipeline = load({"degradation": None})
    result = pipeline.restore(picture(16, 16, dtype="uint8"))
    assert result.meta["controls"]["consistency"] == "off"
    assert result.residual is None
    with pytest.raises(UsageError, match="names no downscaler"):
        pipeline(picture(8, 8), consistency="final")
    assert pipeline.restore(picture(16, 16, dtype="uint8"), degradation="area", consistency="final").residual <= 0.25


def test_nan_in_the_loop_names_the_step_and_the_layers(load, monkeypatch):
    pipeline = load({"schedule": {**SCHEDULE, "prediction_type": "epsilon"}})
    image = picture(16, 16)
    expected = pipeline(image)
    schedule = pipeline._resolved({}).schedule
    rows = schedule.rows.copy()
    rows[1, 2] = 3e38
    broken = replace(pipeline._resolved({}), schedule=replace(schedule, rows=rows))
    monkeypatch.setattr(pipeline, "_resolved", lambda given: broken)
    with pytest.raises(BackendError) as caught:
        pipeline(image)
    text = str(caught.value)
    assert text.startswith("step 2 of 3 (timestep ")
    assert "the layers from" in text and "FP32" in text
    with pytest.raises(BackendError, match="step 2 of 3"):
        pipeline(picture(60, 60))
    monkeypatch.undo()
    np.testing.assert_array_equal(pipeline(image), expected)


def test_the_fused_step_is_made_once(load, tmp_path, monkeypatch):
    load(), load(sampler="ddpm"), load(sampler="dpm++2m")
    made = sorted((tmp_path / "cache/edgesr/steps").iterdir())
    assert len(made) == 3
    monkeypatch.setattr("edgesr.pipelines.fused._fused", None)
    load(seed=4, steps=2), load(sampler="dpm++1s")
    assert sorted((tmp_path / "cache/edgesr/steps").iterdir()) == made


def test_a_schedule_or_channels_that_disagree_are_refused(load):
    with pytest.raises(ModelError, match="unknown key 'beta_stat'"):
        load({"schedule": {**SCHEDULE, "beta_stat": 1}})
    with pytest.raises(ModelError, match="conditioning is 'none'"):
        load({"diffusion": diffusion(conditioning="none")})
    with pytest.raises(ModelError, match="says 5 latent channels"):
        load({"diffusion": diffusion(latent_channels=5, conditioning="joined")})
    with pytest.raises(ModelError, match="latent_factor or latent_channels is wrong"):
        load({"diffusion": diffusion(latent_factor=2, conditioning="joined")})(picture(16, 16))


def test_latents_that_the_network_cannot_divide_are_explained(load, monkeypatch):
    monkeypatch.setattr("tests.pipelines.diffusion_packages.denoiser", pooling_denoiser)
    pipeline = load()
    assert pipeline(picture(16, 16)).shape == (64, 64)
    with pytest.raises(BackendError, match=r"failed on latents of 15 x 13; .* under size\.multiple, .* \(now 1\)"):
        pipeline(picture(13, 15))


def pooling_denoiser(folder: Path, **given: Any) -> None:
    """A denoiser that halves its latents and doubles them again, so that odd sides do not fit."""
    model = denoiser(folder, **given).copy()
    model.graph.node[-1].output[0] = "fine"
    model.graph.node.extend(
        [
            helper.make_node("AveragePool", ["fine"], ["coarse"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Resize", ["coarse", "", "twice"], ["back"], mode="nearest"),
            helper.make_node("Add", ["fine", "back"], ["noise_pred"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    onnx.save(model, folder / "denoiser.onnx")


def diffusion(**changes: Any) -> Diffusion:
    return Diffusion(**{"latent_channels": 4, "latent_factor": 4, **changes})


def test_results_and_files(load, tmp_path):
    pipeline = load()
    result = pipeline.submit(picture(8, 8, dtype="uint8")).result()
    path = result.save(tmp_path / "out.png")
    np.testing.assert_array_equal(read(path).pixels[..., 0], result.image)
    (again,) = pipeline.predict(path)
    assert again.image.shape == (128, 128, 1)


@pytest.mark.parametrize("samples", [1, 4])
def test_a_link_makes_a_bound_of_any_number_of_samples(load, samples):
    link = ErrorLink(-1.0, 0.7)
    pipeline = load({"uncertainty": Uncertainty(2.5, 0.9, link=link)}, consistency="off")
    image = picture(40, 36)
    result = pipeline.restore(image, uncertainty=True, samples=samples)
    plain = load(None, consistency="off")
    deviation = None if samples == 1 else plain.restore(image, uncertainty=True, samples=samples).std
    expected = 2.5 * error_scale(result.image[..., None], deviation, link)
    np.testing.assert_allclose(result.std, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"window": 4}, "window: must be odd"), ({"floor": 0.0}, "floor"), ({"exponent": -0.5}, "exponent")],
)
def test_a_link_that_means_nothing_is_refused(load, changes, message):
    link = ErrorLink(**{"offset": -1.0, "exponent": 0.7, **changes})
    with pytest.raises(ModelError, match=message):
        load({"uncertainty": Uncertainty(2.5, 0.9, link=link)})
