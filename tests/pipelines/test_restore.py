from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import edgesr
from edgesr.errors import BackendError, InputError, OutOfMemoryError, UsageError
from edgesr.image.resample import downscale

RNG = np.random.default_rng(7)


def picture(*shape: int, dtype=np.uint8) -> np.ndarray:
    """Smooth random pixels."""
    small = RNG.random((max(shape[0] // 4, 1) + 1, max(shape[1] // 4, 1) + 1, *shape[2:]))
    large = np.kron(small, np.ones((4, 4) + (1,) * len(shape[2:])))[: shape[0], : shape[1]]
    if np.dtype(dtype).kind == "f":
        return large.astype(dtype)
    return np.rint(large * np.iinfo(dtype).max).astype(dtype)


def test_a_result_goes_through_another_process_and_back():
    with edgesr.load("cxr-x4-fast", "cpu") as restorer:
        result = restorer.restore(picture(9, 14), uncertainty=True)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.image, result.image)
    np.testing.assert_array_equal(again.std, result.std)
    assert (again.meta, again.timings, again.residual) == (result.meta, result.timings, result.residual)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(9, 14), (9, 14, 1), (9, 14, 2), (9, 14, 3), (9, 14, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_type_channels_and_rank_come_back_as_they_went_in(make_restorer, dtype, shape, channels):
    restorer = make_restorer(channels=channels, color="grey" if channels == 1 else "rgb")
    image = picture(*shape, dtype=dtype)
    result = restorer(image)
    assert result.dtype == dtype
    assert result.shape == (18, 28, *shape[2:])


def test_sixteen_bits_are_computed_with_sixteen_bits(make_restorer):
    restorer = make_restorer()
    image = (np.arange(256, dtype=np.uint16) + 30000).reshape(16, 16)
    assert len(np.unique(restorer(image))) > 256


def test_the_numbers_are_those_of_the_bare_network(make_restorer):
    import onnxruntime

    restorer = make_restorer()
    image = picture(20, 31, dtype=np.uint8)
    session = onnxruntime.InferenceSession(restorer.package.part_path("network"), providers=["CPUExecutionProvider"])
    feed = (image.astype(np.float32) / 255)[None, None]
    expected = np.rint(session.run(None, {"image": feed})[0][0, 0].clip(0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(restorer(image), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (23, 61), (64, 64), (97, 53), (130, 131)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_give_what_the_whole_picture_gives(make_restorer, size, channels):
    image = picture(*size, channels, dtype=np.float32)
    whole = make_restorer(channels=channels, color="rgb" if channels == 3 else "grey")
    tiled = make_restorer(channels=channels, color="rgb" if channels == 3 else "grey", tile=40)
    np.testing.assert_allclose(tiled(image), whole(image), atol=3e-7)


def test_tiles_of_a_network_with_fixed_size_cover_any_picture(make_restorer):
    whole, fixed = make_restorer(), make_restorer(size=48)
    image = picture(131, 77, dtype=np.float32)
    # The fixed tiles reflect the picture where it is smaller than they are; away from borders both must agree.
    np.testing.assert_allclose(fixed(image)[12:-12, 12:-12], whole(image)[12:-12, 12:-12], atol=3e-7)
    assert fixed(image[:5, :7]).shape == (10, 14)


def test_sizes_are_padded_to_the_multiple_that_the_network_needs(make_restorer):
    plain, multiple = make_restorer(), make_restorer(multiple=8)
    image = picture(33, 30, dtype=np.float32)
    assert multiple(image).shape == (66, 60)
    np.testing.assert_allclose(multiple(image)[:50, :50], plain(image)[:50, :50], atol=3e-7)


def test_channels_last_networks_give_the_same_picture(make_restorer):
    image = picture(19, 22, 3)
    first = make_restorer(channels=3, color="rgb")(image)
    np.testing.assert_array_equal(make_restorer(channels=3, color="rgb", layout="NHWC")(image), first)


def test_colour_order_of_pictures_and_of_networks(make_restorer):
    image = picture(12, 12, 3)
    rgb = make_restorer(channels=3, color="rgb")(image)
    # Whoever passes BGR gets BGR; whoever trained on BGR is fed BGR.
    from_bgr = make_restorer(channels=3, color="rgb")
    from_bgr._color = "bgr"
    np.testing.assert_array_equal(from_bgr(image[..., ::-1])[..., ::-1], rgb)
    trained_on_bgr = make_restorer(channels=3, color="bgr")
    np.testing.assert_array_equal(trained_on_bgr(image[..., ::-1])[..., ::-1], rgb)


def test_grey_in_colour_files_stays_grey_and_costs_one_run(make_restorer):
    restorer = make_restorer()
    grey = picture(16, 16)
    runs = []
    run = restorer._network.engine.run
    restorer._network.engine.run = lambda *args: runs.append(1) or run(*args)
    result = restorer(np.repeat(grey[..., None], 3, axis=2))
    assert len(runs) == 1
    for channel in range(3):
        np.testing.assert_array_equal(result[..., channel], restorer(grey))


def test_opaque_alpha_stays_opaque(make_restorer):
    image = picture(10, 10, 4)
    image[..., 3] = 255
    result = make_restorer(channels=3, color="rgb")(image)
    assert (result[..., 3] == 255).all()
    np.testing.assert_array_equal(result[..., :3], make_restorer(channels=3, color="rgb")(image[..., :3]))


def test_colour_hidden_under_transparency_makes_no_halo(make_restorer):
    """The same visible picture with other hidden colours must give the same visible result."""
    restorer = make_restorer(channels=3, color="rgb")
    image = picture(40, 40, 4)
    image[..., 3] = 0
    image[10:30, 10:30, 3] = 255
    hidden_black, hidden_white = image.copy(), image.copy()
    hidden_black[image[..., 3] == 0, :3] = 0
    hidden_white[image[..., 3] == 0, :3] = 255
    np.testing.assert_array_equal(restorer(hidden_black), restorer(hidden_white))


def test_self_ensemble_commutes_with_flips_and_turns(make_restorer):
    restorer = make_restorer(tta=True)
    image = picture(13, 22, dtype=np.float32)
    expected = restorer(image)
    for transform in (np.fliplr, np.flipud, np.rot90):
        np.testing.assert_allclose(restorer(transform(image)), transform(expected), atol=1e-6)


def test_eight_threads_get_what_one_gets(make_restorer):
    restorer = make_restorer(tile=40)
    images = [picture(50 + 3 * i, 60 + i) for i in range(8)]
    expected = [restorer(image) for image in images]
    results: dict[int, list[np.ndarray]] = {}

    def work(index: int) -> None:
        results[index] = [restorer(images[index]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, outputs in results.items():
        for output in outputs:
            np.testing.assert_array_equal(output, expected[index])


def test_submit_returns_a_future_and_predict_an_iterator(make_restorer, tmp_path):
    restorer = make_restorer()
    image = picture(8, 9)
    np.testing.assert_array_equal(restorer.submit(image).result().image, restorer(image))
    stream = restorer.predict([image, image], stream=True)
    assert next(iter(stream)).image.shape == (16, 18)
    results = restorer.predict([image, image])
    assert len(results) == 2
    results[0].save(tmp_path / "a.png")
    (from_file,) = restorer.predict(tmp_path / "a.png")
    assert from_file.image.shape == (32, 36, 1)
    assert from_file.meta["source"] == str(tmp_path / "a.png")


def test_a_result_knows_its_times_and_its_agreement_with_the_input(make_restorer):
    result = make_restorer().restore(picture(16, 16))
    assert set(result.timings) == {"pre", "h2d", "infer", "d2h", "post", "total"}
    assert result.timings["total"] >= result.timings["infer"] > 0
    assert result.consistency is not None and result.consistency > 0
    assert result.std is None


def test_out_of_memory_is_met_with_smaller_tiles(make_restorer):
    restorer = make_restorer()
    image = picture(200, 200, dtype=np.float32)
    expected = restorer(image)
    run = restorer._network.engine.run
    sizes = []

    def stingy(inputs, outputs):
        sizes.append(inputs["image"].shape[2])
        if sizes[-1] > 70:
            raise OutOfMemoryError("full")
        return run(inputs, outputs)

    restorer._network.engine.run = stingy
    np.testing.assert_allclose(restorer(image), expected, atol=3e-7)
    assert sizes[:3] == [200, 76, 38]


def test_memory_that_is_never_enough_is_an_error_with_a_remedy(make_restorer):
    restorer = make_restorer()

    def full(inputs, outputs):
        raise OutOfMemoryError("full")

    restorer._network.engine.run = full
    with pytest.raises(OutOfMemoryError, match="smaller model"):
        restorer(picture(100, 100))


def test_nan_from_the_network_is_an_error_not_a_picture(make_restorer):
    restorer = make_restorer()
    run = restorer._network.engine.run

    def poisoned(inputs, outputs):
        run(inputs, outputs)
        outputs["upscaled"].numpy()[0, 0, 3, 3] = np.nan
        return outputs

    restorer._network.engine.run = poisoned
    with pytest.raises(BackendError, match="NaN"):
        restorer(picture(10, 10))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 5), np.uint8), "5"),
        (np.zeros((4,), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "empty|size|0"),
        (np.zeros((4, 4), np.int32), "int32"),
        (np.full((4, 4), np.nan, np.float32), "NaN|finite"),
        (np.full((4, 4), 7.0, np.float32), r"\[0, 1\]"),
        ([[0, 0]], "list; use numpy.asarray"),
        (Path("a.png"), r"the path a\.png; pass it to predict\(\)"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(make_restorer, image, message):
    with pytest.raises(InputError, match=message):
        make_restorer()(image)


def test_wrong_options_are_refused_with_what_is_possible(make_restorer):
    with pytest.raises(UsageError, match="at least"):
        make_restorer(tile=8)
    with pytest.raises(UsageError, match="no control 'sharpness'"):
        make_restorer(sharpness=1.0)
    with pytest.raises(UsageError, match="'rgb' or 'bgr'"):
        edgesr.Restorer(None, None, color="cmyk")
    with pytest.raises(UsageError, match="predicts no uncertainty"):
        make_restorer().restore(picture(5, 5), uncertainty=True)
    with pytest.raises(UsageError, match="fixed 48 x 48"):
        make_restorer(size=48, tile=64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "model must be a name or a path, got None"),
        ({"device": 0}, "device must be a name such as 'cpu' or 'cuda:0', got 0"),
        ({"threads": "2"}, "threads must be a whole number, got '2'"),
    ],
)
def test_options_of_a_wrong_type_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        edgesr.load(**options)


def test_small_fixed_tiles_shrink_their_context_and_say_so(make_restorer):
    whole, fixed = make_restorer(receptive_field=None), make_restorer(size=24, receptive_field=None)
    image = picture(70, 55, dtype=np.float32)
    assert np.abs(fixed(image) - whole(image)).max() < 0.2
    assert any("blended, not exact" in note for note in fixed.notes)
    assert not make_restorer().notes


def test_agreement_is_that_of_the_best_declared_downscaler_or_of_the_one_named():
    with edgesr.load("cxr-x4-fast", "cpu", threads=1) as restorer:
        large = np.kron(picture(40, 40)[4:36, 4:36], np.ones((4, 4))).astype(np.uint8)
        area = np.rint(large.reshape(32, 4, 32, 4).mean(axis=(1, 3))).astype(np.uint8)
        free, forced = restorer.restore(area), restorer.restore(area, degradation="area")
        residual = forced.image.reshape(32, 4, 32, 4).mean(axis=(1, 3)) - area
        assert forced.consistency == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-4)
        kernels = ("cubic", "area", "antialiased")
        small = {k: downscale(free.image[..., None] / 255.0, 4, k)[..., 0] * 255 - area for k in kernels}
        assert free.consistency == pytest.approx(min(np.sqrt(np.mean(r**2)) for r in small.values()), rel=1e-4)


def test_rounding_errors_of_floats_are_clipped_and_masks_are_refused(make_restorer):
    restorer, image = make_restorer(), picture(9, 14, dtype=np.float32)
    image[0, :2] = 0, 1
    beyond = image.copy()
    beyond[0, :2] = -1e-7, np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_array_equal(restorer(beyond), restorer(image))
    with pytest.raises(InputError, match="masked array"):
        restorer(np.ma.masked_array(image, image > 0.5))


def test_a_closed_pipeline_says_so_by_name_and_takes_nothing_more(make_restorer):
    restorer = make_restorer()
    restorer.close()
    with pytest.raises(BackendError, match=f"model {restorer.descriptor.name} is closed; load it again"):
        restorer(picture(4, 4))
    with pytest.raises(BackendError, match="the pipeline is closed"):
        restorer.submit(picture(4, 4))
