from __future__ import annotations

import numpy as np
import pytest

from edgesr.compile import reference
from edgesr.compile.fuse_step import fuse_step
from edgesr.compile.reference import Runner
from edgesr.errors import ModelError, UsageError
from edgesr.schedule import SAMPLERS, ScheduleConfig, make_schedule, sample
from edgesr.schedule.loop import steps
from tests.compile import denoisers, samples

PAPER = ScheduleConfig(num_train_timesteps=300, clip_sample=False)


def schedule_of(sampler, steps=4, **keys):
    prediction = "sample" if sampler == "resshift" else "epsilon"
    config = ScheduleConfig(num_train_timesteps=300, prediction_type=prediction, clip_sample=False, **keys)
    return make_schedule(config, steps, sampler=sampler, start_timestep=60, eta=0.5)


def run_fused(fused, schedule, state, noise, **conditions):
    """The loop as a pipeline has it: state and x0 go back in, a row or the number of the step comes from outside."""
    x0 = np.zeros_like(state)
    with Runner(fused.graph) as step:
        for index, row in enumerate(schedule.rows):
            given = {"state": state, "previous_x0": x0, "noise": noise(index), "row": row, "step": np.array([index])}
            results = step({**given, **conditions})
            state, x0 = results["next_state"], results["x0"]
    return state


@pytest.mark.parametrize("fold", [False, True], ids=["rows", "folded"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_loop_over_fused_steps_is_the_numpy_loop(name, fold, tmp_path):
    network, schedule = samples.unet(tmp_path), schedule_of(name)
    fused = fuse_step(network, schedule, fold=fold)
    rng = np.random.default_rng(0)
    noises = rng.standard_normal((5, 1, 4, 16, 16)).astype(np.float32)
    state = schedule.first_state(noises[4], noises[3])
    with Runner(network) as plain:
        expected = sample(
            schedule,
            lambda x, t: plain({"x": x, "t": np.array([t])})["noise"].astype(np.float64),
            state.astype(np.float64),
            lambda index: noises[index],
        )
    found = run_fused(fused, schedule, state, lambda index: noises[index])
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()
    assert fused.deviation < 1e-5
    assert ("step" in fused.graph.inputs) == fold
    assert ("previous_x0" in fused.graph.inputs) == (name in ("dpm++2m", "dpm++2s"))
    assert ("noise" in fused.graph.inputs) == (name in ("ddpm", "ddim", "resshift", "x0"))


def test_the_time_embedding_is_constant_where_steps_are_folded(tmp_path):
    schedule = make_schedule(PAPER, 3, start_timestep=50)
    network = samples.unet(tmp_path)
    plain, folded = fuse_step(network, schedule), fuse_step(network, schedule, fold=True)
    assert plain.folded == 0
    assert folded.folded == 6
    assert {"Sin", "Cos"} <= {node.op_type for node in plain.graph.nodes}
    assert not {"Sin", "Cos"} & {node.op_type for node in folded.graph.nodes}
    assert {"row", "t"}.isdisjoint(folded.graph.inputs)


@pytest.mark.parametrize("fold", [False, True], ids=["rows", "folded"])
@pytest.mark.parametrize(
    ("time", "shape"), [("int64", ("n",)), ("int64", ()), ("int32", (1,)), ("float", (1,)), ("float", ("n", 1))]
)
def test_timesteps_of_every_type_and_shape_are_fed(time, shape, fold, tmp_path):
    network = denoisers.denoiser(tmp_path, time=time, time_shape=shape)
    schedule = make_schedule(PAPER, 3, sampler="dpm++2m", start_timestep=50)
    fused = fuse_step(network, schedule, fold=fold)
    batch = np.random.default_rng(1).standard_normal((2, 4, 8, 12)).astype(np.float32)
    with Runner(network) as plain:
        sizes = tuple(2 if side == "n" else side for side in shape)
        feeds = [{"sample": batch, "timestep": np.full(sizes, t)} for t in schedule.timesteps]
        called = iter(feeds)
        expected = sample(schedule, lambda x, t: plain({**next(called), "sample": x})["noise_pred"], batch)
    assert np.abs(run_fused(fused, schedule, batch, lambda _: batch) - expected).max() < 1e-5


@pytest.mark.parametrize("fold", [False, True], ids=["rows", "folded"])
def test_a_condition_may_be_joined_or_have_its_own_input(fold, tmp_path):
    schedule = make_schedule(PAPER, 2, sampler="euler", start_timestep=50)
    rng = np.random.default_rng(2)
    state, condition = rng.standard_normal((2, 1, 4, 8, 8)).astype(np.float32)
    results = []
    for keys, name in (({"joined": 4}, "condition"), ({"condition": 4}, "cond")):
        fused = fuse_step(denoisers.denoiser(tmp_path, **keys), schedule, fold=fold)
        assert name in fused.graph.inputs
        assert set(fused.conditions) == {name}
        results.append(run_fused(fused, schedule, state, lambda _: state, **{name: condition}))
    assert np.allclose(*results, atol=1e-6)
    assert np.abs(results[0] - run_fused(fused, schedule, state, lambda _: state, cond=0 * condition)).max() > 1e-3


def test_a_condition_with_a_name_of_the_loop_gets_another(tmp_path):
    network = denoisers.denoiser(tmp_path, condition=4, names=("x", "t", "noise"))
    fused = fuse_step(network, make_schedule(PAPER, 2, sampler="ddpm", start_timestep=50))
    assert set(fused.graph.inputs) == {"state", "noise", "row", "condition_noise"}
    assert fused.conditions == {"condition_noise": "noise"}


def test_a_half_precision_network_keeps_a_single_precision_loop(tmp_path):
    fused = fuse_step(denoisers.denoiser(tmp_path, half=True), make_schedule(PAPER, 2, start_timestep=50))
    assert {fused.graph.types[name] for name in (*fused.graph.inputs, *fused.graph.outputs)} == {1}


def test_an_old_network_is_brought_to_opset_13(tmp_path):
    nodes = [samples.node("Conv", ["x", "w"], ["eps"], pads=[1] * 4)]
    inputs = [denoisers.tensor("x", 1, 4, 8, 8)]
    path = denoisers.save(tmp_path / "old.onnx", nodes, inputs, [denoisers.tensor("eps", 1, 4, 8, 8)],
                          {"w": samples.weight(4, 4, 3, 3)})  # fmt: skip
    old = denoisers.reversioned(samples.Graph.read(path), 11)
    fused = fuse_step(old, make_schedule(PAPER, 1, start_timestep=50))
    assert fused.graph.opset == 13
    assert fused.roles.timestep is None


@pytest.mark.parametrize("size", [("n", "h", "w"), (1, 6, 10)], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.995, 1.0])
def test_thresholding_is_the_quantile_of_numpy(ratio, size, tmp_path):
    config = ScheduleConfig(thresholding=True, dynamic_thresholding_ratio=ratio, sample_max_value=2.5)
    schedule = make_schedule(config, 3, sampler="ddim")
    fused = fuse_step(denoisers.denoiser(tmp_path, size=size), schedule)
    assert fused.deviation < 1e-5
    state = np.random.default_rng(3).standard_normal((1, 4, 6, 10)).astype(np.float32) * np.float32(3)
    with Runner(fused.graph) as step:
        x0 = step({"state": state, "row": schedule.rows[2]})["x0"]
    assert np.abs(x0).max() == pytest.approx(1.0)


def test_clipping_holds_for_x0(tmp_path):
    schedule = make_schedule(ScheduleConfig(clip_sample=True, clip_sample_range=0.7), 3, sampler="ddim")
    fused = fuse_step(samples.unet(tmp_path), schedule)
    state = np.random.default_rng(3).standard_normal((1, 4, 16, 16)).astype(np.float32)
    with Runner(fused.graph) as step:
        assert np.abs(step({"state": state, "row": schedule.rows[0]})["x0"]).max() == np.float32(0.7)


def test_a_projection_holds_x0_to_the_measurement(tmp_path):
    schedule = make_schedule(PAPER, 3, sampler="dpm++2m", start_timestep=50)
    fused = fuse_step(denoisers.denoiser(tmp_path), schedule, hook=denoisers.projection(tmp_path), fold=True)
    rng = np.random.default_rng(4)
    state = rng.standard_normal((1, 4, 8, 8)).astype(np.float32)
    measured = rng.standard_normal((1, 4, 4, 4)).astype(np.float32)
    result = run_fused(fused, schedule, state, lambda _: state, measured=measured)
    assert np.abs(result.reshape(1, 4, 4, 2, 4, 2).mean((3, 5)) - measured).max() < 1e-5


def test_a_wrong_fusion_would_be_found(tmp_path, monkeypatch):
    """The check runs the network by itself: a network that is not what was fused must not pass."""
    schedule = make_schedule(PAPER, 3, sampler="dpm++2m", start_timestep=50)
    real = reference.step

    def other(schedule, index, *rest, **keys):
        state, x0 = real(schedule, index, *rest, **keys)
        return state + 1e-3 * np.abs(state).max(), x0

    monkeypatch.setattr(reference, "step", other)
    with pytest.raises(ModelError, match=r"next_state of step 0 differs from the numpy loop by 0\.001"):
        fuse_step(samples.unet(tmp_path), schedule)


def test_whole_timesteps_are_not_given_fractions(tmp_path):
    schedule = make_schedule(PAPER, 7, sampler="euler")
    with pytest.raises(UsageError, match="takes whole timesteps"):
        fuse_step(denoisers.denoiser(tmp_path), schedule)
    fuse_step(denoisers.denoiser(tmp_path, time="float"), schedule)


def test_a_frozen_timestep_is_refused_for_several_steps(tmp_path):
    nodes = [samples.node("Conv", ["x", "w"], ["eps"], pads=[1] * 4)]
    path = denoisers.save(tmp_path / "frozen.onnx", nodes, [denoisers.tensor("x", 1, 4, 8, 8)],
                          [denoisers.tensor("eps", 1, 4, 8, 8)], {"w": samples.weight(4, 4, 3, 3)})  # fmt: skip
    with pytest.raises(ModelError, match="no input for the timestep, so it cannot take 3 steps"):
        fuse_step(samples.Graph.read(path), make_schedule(PAPER, 3, start_timestep=50))


def test_every_state_of_300_steps_stays_with_the_numpy_loop(tmp_path):
    """The published sampler: T = 300 from noise, all steps, one graph."""
    network, schedule = denoisers.denoiser(tmp_path), make_schedule(PAPER, 300)
    fused = fuse_step(network, schedule, fold=True)
    noises = np.random.default_rng(5).standard_normal((301, 1, 4, 8, 8)).astype(np.float32)
    with Runner(network) as plain, Runner(fused.graph) as step:
        reference_states = steps(
            schedule,
            lambda x, t: plain({"sample": x, "timestep": np.array([t])})["noise_pred"].astype(np.float64),
            noises[300].astype(np.float64),
            lambda index: noises[index],
        )
        state, worst = noises[300], 0.0
        for index, (expected, _) in enumerate(reference_states):
            state = step({"state": state, "noise": noises[index], "step": np.array([index])})["next_state"]
            worst = max(worst, float(np.abs(state - expected).max() / np.abs(expected).max()))
    assert worst < 1e-4


def test_a_hook_without_x0_is_refused(tmp_path):
    hook = denoisers.denoiser(tmp_path)
    with pytest.raises(ModelError, match="the hook needs an input called 'x0', it has sample, timestep"):
        fuse_step(samples.unet(tmp_path), make_schedule(PAPER, 3, start_timestep=50), hook=hook)


def test_a_hook_of_other_channels_is_refused(tmp_path):
    hook = denoisers.projection(tmp_path, channels=3)
    with pytest.raises(ModelError, match="the hook takes 3 channels, and the state has 4"):
        fuse_step(samples.unet(tmp_path), make_schedule(PAPER, 3, start_timestep=50), hook=hook)
