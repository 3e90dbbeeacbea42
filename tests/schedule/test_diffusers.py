"""Every sampler against diffusers' schedulers, sample by sample: recorded always, live where diffusers is installed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgesr.schedule import SAMPLERS, ScheduleConfig, make_schedule, sample
from edgesr.schedule.loop import steps
from tests.schedule.cases import STATE, cases, first_state, network, noise
from tests.schedule.golden import PATH, trajectory

RECORDED = json.loads(PATH.read_text())["cases"]


def ours(case: dict) -> list[np.ndarray]:
    config = dict(case["config"])
    if config["_class_name"] == "LCMScheduler":
        config["_class_name"] = "X0Scheduler"
    config = ScheduleConfig.from_json(config, source="case")
    arguments = {key: case[key] for key in ("timesteps", "eta") if key in case}
    schedule = make_schedule(config, case["steps"], start="noise", **arguments)
    return [state for state, _ in steps(schedule, network, first_state(), noise)]


def test_the_recorded_cases_are_the_present_ones():
    assert [{k: v for k, v in case.items() if k != "states"} for case in RECORDED] == list(cases())


@pytest.mark.parametrize("name", sorted({case["config"]["_class_name"] for case in RECORDED}))
def test_every_state_equals_the_recorded_one_of_diffusers(name):
    chosen = [case for case in RECORDED if case["config"]["_class_name"] == name]
    for case in chosen:
        states = ours(case)
        assert len(states) == (case["steps"] or len(case["timesteps"]))
        for step, expected in case["states"].items():
            difference = np.abs(states[int(step)] - np.reshape(expected, STATE)).max()
            assert difference <= 1e-5 * max(1.0, np.abs(expected).max()), (case["config"], step, difference)


def test_the_recorded_cases_reach_every_sampler_but_resshift():
    names = set()
    for case in RECORDED:
        config = {**case["config"], "_class_name": case["config"]["_class_name"].replace("LCM", "X0")}
        names.add(ScheduleConfig.from_json(config, source="case").sampler)
    assert names == set(SAMPLERS) - {"resshift"}


def test_diffusers_own_golden_numbers_of_ddim_are_reached():
    """tests/schedulers/test_scheduler_ddim.py of diffusers 0.42.1: sum and mean after ten steps."""
    start = (np.arange(4 * 3 * 8 * 8).reshape(3, 8, 8, 4) / (4 * 3 * 8 * 8)).transpose(3, 0, 1, 2)
    for keys, total, mean in (({}, 172.0067, 0.223967), ({"prediction_type": "v_prediction"}, 52.5302, 0.0684)):
        config = ScheduleConfig.from_json({"_class_name": "DDIMScheduler", **keys}, source="diffusers")
        result = sample(make_schedule(config, 10), lambda x, t: x * (t / (t + 1)), start)
        assert abs(np.abs(result).sum() - total) < 1e-2
        assert abs(np.abs(result).mean() - mean) < 1e-3


@pytest.mark.parametrize("precise", [True, False], ids=["float64", "float32"])
def test_every_state_equals_that_of_the_installed_diffusers(precise):
    """In its own float32 diffusers loses the last digits, and DDIM with eta 1 the root of a negative number."""
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    for case in cases():
        for found, expected in zip(ours(case), trajectory(case, precise=precise), strict=True):
            if not precise and not np.isfinite(expected).all():
                assert case["eta"] == 1.0
                continue
            tolerance = (1e-5 if precise else 3e-5) * max(1.0, np.abs(expected).max())
            assert np.abs(found - expected).max() <= tolerance, case
