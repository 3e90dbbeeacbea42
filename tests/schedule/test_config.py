from __future__ import annotations

import json

import pytest

from edgesr.errors import ModelError, UsageError
from edgesr.schedule import ScheduleConfig, make_schedule
from edgesr.schedule.config import CLASSES

STABLE_DIFFUSION = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True,
    "steps_offset": 1, "trained_betas": None, "clip_sample": False,
}  # fmt: skip


def test_a_scheduler_config_of_stable_diffusion_is_read_and_needs_a_named_sampler():
    config = ScheduleConfig.from_json(STABLE_DIFFUSION, source="scheduler_config.json")
    assert (config.beta_end, config.steps_offset, config.set_alpha_to_one) == (0.012, 1, False)
    assert make_schedule(config, 4, sampler="dpm++2m").steps == 4
    with pytest.raises(ModelError, match="'PNDMScheduler' has no sampler here; name one with --sampler, or"):
        make_schedule(config, 4)


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler", "LCMScheduler"])
def test_a_scheduler_whose_networks_predict_something_else_is_refused(name):
    with pytest.raises(ModelError, match=f"networks of {name} predict what no sampler here understands"):
        ScheduleConfig.from_json({"_class_name": name, "num_train_timesteps": 1000}, source="test")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_is_written_is_read_again(name):
    config = ScheduleConfig.from_json(
        {"_class_name": name, "beta_schedule": "scaled_linear", "num_inference_steps": 3, "clip_sample": False},
        source="test",
    )
    document = json.loads(json.dumps(config.to_json()))
    assert ScheduleConfig.from_json(document, source="test") == config
    assert make_schedule(config).steps == 3


def test_a_package_can_say_start_steps_and_noise():
    config = ScheduleConfig.from_json(
        {"_class_name": "DDIMScheduler", "num_inference_steps": 3, "start_timestep": 50, "eta": 0.5}, source="package"
    )
    schedule = make_schedule(config)
    assert (schedule.timesteps[0], schedule.start, schedule.noisy_steps) == (50, "noised", (0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta_schedule": "quadratic"}, "beta_schedule must be one of linear, .*'quadratic'"),
        ({"prediction_type": "flow_prediction"}, "prediction_type must be one of epsilon"),
        ({"algorithm_type": "sde-dpmsolver++"}, "algorithm_type must be one of dpmsolver\\+\\+"),
        ({"variance_type": "learned_range"}, "variance_type must be one of fixed_small"),
        ({"use_karras_sigmas": True}, "use_karras_sigmas True is not supported; only False is"),
        ({"num_train_timesteps": "300"}, "num_train_timesteps must be a whole number, got '300'"),
        ({"num_train_timesteps": 0}, "num_train_timesteps must be 1 to"),
        ({"clip_sample": 1}, "clip_sample must be true or false, got 1"),
        ({"beta_start": float("nan")}, "beta_start must be a finite number, got nan"),
        ({"beta_end": 1.5}, "betas must be between 0 and 1"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas must have 1000 entries"),
        ({"trained_betas": "file"}, "trained_betas must be a list of numbers"),
        ({"steps_ofset": 1}, "unknown key 'steps_ofset' in the schedule; did you mean 'steps_offset'?"),
        ({"solver_order": 3}, "solver_order must be 1 or 2, got 3"),
        ({"num_inference_steps": 2000}, "num_inference_steps must be 1 to 1000, got 2000"),
        ({"rescale_betas_zero_snr": True}, "needs v_prediction or sample"),
        ({"_class_name": 3}, "_class_name must be a string"),
        ({"min_noise_level": 2.5}, "min_noise_level must be above 0 and below etas_end"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(change, message):
    with pytest.raises(ModelError, match=message) as caught:
        ScheduleConfig.from_json({"_class_name": "DDPMScheduler", **change}, source="scheduler_config.json")
    assert str(caught.value).startswith("scheduler_config.json: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(
        ModelError, match=r"no readable scheduler_config\.json: No such file or directory; check the path"
    ):
        ScheduleConfig.read(tmp_path / "scheduler_config.json")
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(ModelError, match="no readable"):
        ScheduleConfig.read(path)
    path.write_text("[]")
    with pytest.raises(ModelError, match="must be a JSON object"):
        ScheduleConfig.read(path)
    path.write_text(json.dumps(STABLE_DIFFUSION))
    assert ScheduleConfig.read(path).class_name == "PNDMScheduler"


def test_strength_is_a_share_of_the_training_timesteps():
    config = ScheduleConfig(num_train_timesteps=300)
    assert [config.timestep_at(strength) for strength in (1e-9, 0.17, 1.0)] == [0, 50, 299]
    for strength in (0.0, 1.01, float("nan")):
        with pytest.raises(UsageError, match="strength must be above 0 and at most 1"):
            config.timestep_at(strength)


def test_residual_shifting_needs_a_network_that_predicts_the_picture():
    config = ScheduleConfig.from_json({"_class_name": "ResShiftScheduler", "prediction_type": "epsilon"}, source="x")
    with pytest.raises(ModelError, match="prediction_type sample"):
        make_schedule(config, 4)
