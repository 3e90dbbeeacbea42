from __future__ import annotations

import numpy as np
import pytest

from edgesr.errors import UsageError
from edgesr.schedule import SAMPLERS, Schedule, ScheduleConfig, make_schedule, sample
from edgesr.schedule.betas import alphas_cumprod, etas
from edgesr.schedule.spacing import spaced

RESSHIFT_ROOTS = [0.1, 0.520096372208, 0.761381990619, 0.99]
PAPER = ScheduleConfig(num_train_timesteps=300, clip_sample=False)
"""The U-Net-lite's: T = 300, linear betas from 1e-4 to 0.02."""


def ideal(config: ScheduleConfig, x0: np.ndarray, schedule: Schedule):
    """The network that knows the picture: whatever is added to ``x0``, it says it."""
    alphas = alphas_cumprod(config)

    def network(x, t):
        level = alphas[int(t)]
        noise = (x - np.sqrt(level) * x0) / np.sqrt(1 - level)
        return {
            "epsilon": noise,
            "v_prediction": np.sqrt(level) * noise - np.sqrt(1 - level) * x0,
            "sample": x0,
        }[config.prediction_type]

    return network


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "resshift"])
@pytest.mark.parametrize("start", ["noise", "noised"])
def test_an_ideal_network_gives_back_the_picture(name, prediction, start):
    config = ScheduleConfig(num_train_timesteps=300, prediction_type=prediction, timestep_spacing="trailing")
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((1, 2, 3, 3)).clip(-1, 1)
    first = None if start == "noise" else 50
    schedule = make_schedule(config, 6, sampler=name, start_timestep=first, start=start)
    state = schedule.first_state(x0, rng.standard_normal(x0.shape)).astype(np.float64)
    result = sample(schedule, ideal(config, x0, schedule), state, lambda _: rng.standard_normal(x0.shape))
    assert np.abs(result - x0).max() < 1e-9


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_every_number_of_steps_gives_that_many_different_timesteps(spacing):
    for last in (1, 2, 7, 50, 300):
        for steps in range(1, last + 1):
            for keys in ({}, {"skip_zero": True}, {"offset": 1}):
                times = spaced(spacing, steps, last, **keys)
                assert len(times) == steps
                assert np.all(np.diff(times) < 0)
                assert 0 <= times[-1] <= times[0] < last
                assert not np.any(times % 1)


def test_all_timesteps_are_visited_at_full_steps():
    for name in SAMPLERS:
        config = ScheduleConfig(num_train_timesteps=20, steps_offset=1, prediction_type="sample")
        assert make_schedule(config, 20, sampler=name).timesteps.tolist() == list(range(19, -1, -1))


def test_trailing_goes_to_the_next_timestep_also_where_steps_do_not_divide():
    """diffusers' DDIM would step from 999 to 666, 333 further, where the next timestep is 665."""
    config = ScheduleConfig(class_name="DDIMScheduler", timestep_spacing="trailing", clip_sample=False)
    schedule = make_schedule(config, 3)
    assert schedule.timesteps.tolist() == [999, 666, 332]
    same = make_schedule(config, sampler="dpm++1s", timesteps=[999, 666, 332])
    assert np.allclose(schedule.rows, same.rows, atol=1e-12)


def test_ddim_is_ddpm_at_full_noise_and_first_order_dpm_solver_without():
    for spacing in ("leading", "trailing", "linspace"):
        config = ScheduleConfig(timestep_spacing=spacing, clip_sample=False)
        noisy = make_schedule(config, 7, sampler="ddim", eta=1.0)
        assert np.allclose(noisy.rows, make_schedule(config, 7, sampler="ddpm").rows, atol=1e-10)
        still = make_schedule(config, 7, sampler="ddim")
        solver = make_schedule(config, sampler="dpm++1s", timesteps=still.timesteps.tolist())
        assert np.allclose(still.rows, solver.rows, atol=1e-10)


def test_no_sampler_leaves_noise_in_the_picture_or_spends_a_step_on_nothing():
    for name in SAMPLERS:
        for keys in ({}, {"set_alpha_to_one": False, "final_sigmas_type": "sigma_min", "variance_type": "fixed_large"}):
            config = ScheduleConfig(prediction_type="sample", timestep_spacing="leading", **keys)
            schedule = make_schedule(config, timesteps=[500, 200, 0], sampler=name, eta=1.0)
            assert schedule.rows[-1, 4:].tolist() == pytest.approx([0, 1, 0, 0], abs=1e-12)
            assert 2 not in schedule.noisy_steps


def test_a_truncated_start_begins_at_its_timestep_with_the_noised_input():
    schedule = make_schedule(PAPER, 3, start_timestep=50)
    assert schedule.timesteps.tolist() == [50, 33, 16]
    level = np.prod(1 - np.linspace(1e-4, 0.02, 300)[:51])
    assert schedule.start == "noised"
    assert (schedule.signal, schedule.noise) == pytest.approx((np.sqrt(level), np.sqrt(1 - level)))
    assert make_schedule(PAPER, 1, start_timestep=50).timesteps.tolist() == [50]
    plain = make_schedule(PAPER, 1, start_timestep=50, start="input")
    assert (plain.signal, plain.noise) == (1.0, 0.0)


def wave(x, t):
    return np.sin(x + t)


def test_eulers_states_are_those_of_ddim_divided_by_their_signal():
    latent, noise = np.ones((1, 1, 1, 2)), np.array([[[[0.5, -2.0]]]])
    for start in ("noised", "input"):
        ours = make_schedule(PAPER, 3, sampler="euler", start_timestep=50, start=start)
        other = make_schedule(PAPER, 3, sampler="ddim", start_timestep=50, start=start)
        state = ours.first_state(latent, noise)
        assert ours.rows[0, 1] * state == pytest.approx(other.first_state(latent, noise), rel=1e-6)
        expected = sample(other, wave, other.first_state(latent, noise))
        assert sample(ours, wave, state) == pytest.approx(expected, rel=1e-5)


def test_clipping_follows_the_class_that_trained_the_network():
    assert make_schedule(ScheduleConfig(), 3).clip == 1.0
    assert make_schedule(ScheduleConfig(), 3, sampler="dpm++2m").clip is None
    assert make_schedule(ScheduleConfig(clip_sample=True, clip_sample_range=2.0), 3, sampler="dpm++2m").clip == 2.0
    assert make_schedule(PAPER, 3).clip is None


def test_rows_cannot_be_changed():
    schedule = make_schedule(PAPER, 3)
    with pytest.raises(ValueError, match="read-only"):
        schedule.rows[0, 0] = 1


def test_the_stability_limit_of_cosine_leaves_out_the_noisiest_timesteps():
    config = ScheduleConfig(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    schedule = make_schedule(config, 5, sampler="dpm++2m")
    alphas = alphas_cumprod(config)
    first = int(schedule.timesteps[0])
    snr = 0.5 * np.log(alphas / (1 - alphas))
    assert snr[first] >= -5.1 > snr[first + 1]


def test_residual_shifting_is_the_posterior_of_its_own_diffusion():
    """Gaussian conditioning of two levels on each other, from the forward process alone."""
    config = ScheduleConfig(class_name="ResShiftScheduler", num_train_timesteps=15, prediction_type="sample")
    schedule = make_schedule(config, 15)
    eta = etas(config)[::-1]
    x0, y, x, k = 0.3, -0.8, 0.5, config.kappa
    for row, now, then in zip(schedule.rows[:-1], eta[:-1], eta[1:], strict=True):
        mean_now, mean_then = x0 + now * (y - x0), x0 + then * (y - x0)
        var_now, var_then = k**2 * now, k**2 * then  # increments are independent, so the covariance is var_then
        mean = mean_then + var_then / var_now * (x - mean_now)
        variance = var_then - var_then**2 / var_now
        assert row[4] * x + row[5] * x0 == pytest.approx(mean)
        assert row[7] ** 2 == pytest.approx(variance)
    assert schedule.rows[-1, 4:].tolist() == [0, 1, 0, 0]
    assert (schedule.start, schedule.signal, schedule.noise) == ("noised", 1.0, pytest.approx(k * np.sqrt(eta[0])))


def test_residual_shiftings_levels_are_those_of_its_authors_code():
    """get_named_eta_schedule of ResShift, commit 0321af7, at four steps with kappa 2, power 0.3, least noise 0.2."""
    config = ScheduleConfig(class_name="ResShiftScheduler", num_train_timesteps=4, min_noise_level=0.2,
                            prediction_type="sample")  # fmt: skip
    assert np.sqrt(etas(config)) == pytest.approx(RESSHIFT_ROOTS, rel=1e-9)
    rows = make_schedule(config, 4).rows
    assert rows[:, 1] == pytest.approx(1 / np.sqrt(etas(config)[::-1] * 4 + 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be 1 to 300, .*got 0"),
        ({"steps": 301}, "steps must be 1 to 300, .*got 301"),
        ({}, "--steps"),
        ({"steps": 60, "start_timestep": 50}, "steps must be 1 to 51"),
        ({"steps": 3, "start_timestep": 300}, "start timestep must be 0 to 299, got 300"),
        ({"steps": 3, "sampler": "plms"}, "sampler must be one of ddpm, .*'plms'"),
        ({"steps": 3, "eta": 1.5}, "eta must be 0 to 1, got 1.5"),
        ({"steps": 3, "start": "middle"}, "start must be one of noise, .*'middle'"),
        ({"steps": 3, "start_timestep": 50, "start": "noise"}, "starts from the input"),
        ({"timesteps": [10, 20]}, "falling"),
        ({"timesteps": [300, 20]}, "whole numbers from 299 down to 0"),
        ({"timesteps": [20.5, 20]}, "whole numbers"),
        ({"timesteps": [20], "steps": 1}, "no steps"),
    ],
)
def test_wrong_wishes_are_refused_in_one_line(arguments, message):
    with pytest.raises(UsageError, match=message) as caught:
        make_schedule(PAPER, arguments.pop("steps", None), **arguments)
    assert "\n" not in str(caught.value)


def test_a_start_without_what_it_needs_is_refused():
    schedule = make_schedule(PAPER, 3, start_timestep=50)
    with pytest.raises(UsageError, match="needs the encoded input"):
        schedule.first_state(None, np.zeros((1, 1, 2, 2)))
    with pytest.raises(UsageError, match="needs noise"):
        schedule.first_state(np.zeros((1, 1, 2, 2)), None)
