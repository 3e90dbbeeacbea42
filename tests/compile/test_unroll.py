from __future__ import annotations

import numpy as np
import pytest

from edgesr.compile.ends import Latents
from edgesr.compile.reference import Runner
from edgesr.compile.unroll import unroll
from edgesr.errors import ModelError
from edgesr.schedule import SAMPLERS, ScheduleConfig, make_schedule, sample
from tests.compile import denoisers, samples

PAPER = ScheduleConfig(num_train_timesteps=300, clip_sample=False)
PREDICTS_PICTURE = ScheduleConfig(num_train_timesteps=300, clip_sample=False, prediction_type="sample")


@pytest.mark.parametrize("name", SAMPLERS)
def test_picture_in_picture_out_is_encoder_loop_and_decoder(name, tmp_path):
    config = PREDICTS_PICTURE if name == "resshift" else PAPER
    schedule = make_schedule(config, 3, sampler=name, start_timestep=50, eta=0.5)
    network = denoisers.denoiser(tmp_path, joined=4)
    first, last = denoisers.encoder(tmp_path), denoisers.decoder(tmp_path)
    whole = unroll(network, schedule, encoder=first, decoder=last, latents=Latents(0.5, 0.1))
    rng = np.random.default_rng(0)
    image = rng.random((1, 1, 32, 48)).astype(np.float32)
    noises = {n: rng.standard_normal((1, 4, 8, 12)).astype(np.float32) for n in whole.graph.inputs if "noise" in n}
    assert set(noises) == {"noise_start", *(f"noise_{index}" for index in schedule.noisy_steps)}
    with Runner(whole.graph) as run, Runner(first) as encode, Runner(last) as decode, Runner(network) as plain:
        found = run({"image": image, **noises})["result"]
        latent = (encode({"image": image})["encoded"] - 0.1) * 0.5

        def predict(x, t):
            both = np.concatenate([x, latent], axis=1)
            return plain({"sample": both, "timestep": np.array([t])})["noise_pred"].astype(np.float64)

        state = schedule.signal * latent.astype(np.float64) + schedule.noise * noises["noise_start"]
        state = sample(schedule, predict, state, lambda index: noises[f"noise_{index}"])
        expected = decode({"z": state / 0.5 + 0.1})["image"]
    assert found.shape == (1, 1, 32, 48)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert whole.deviation < 1e-4


def test_weights_are_stored_once_and_nothing_is_asked_for_the_time(tmp_path):
    network = samples.unet(tmp_path)
    graphs = [unroll(network, make_schedule(PAPER, n, sampler="ddim", start_timestep=50)) for n in (1, 5)]
    sizes = [sum(t.ByteSize() for n, t in g.graph.weights.items() if n.startswith("network/")) for g in graphs]
    assert sizes[0] == sizes[1]
    assert graphs[1].graph.inputs == ("image", "noise_start")
    assert graphs[1].folded == 6
    assert not {"Sin", "Cos"} & {node.op_type for node in graphs[1].graph.nodes}


def test_without_an_encoder_the_picture_is_the_state(tmp_path):
    schedule = make_schedule(PAPER, 2, sampler="ddim", start_timestep=50, start="input")
    whole = unroll(denoisers.denoiser(tmp_path, condition=4), schedule)
    assert whole.graph.inputs == ("image",)
    assert whole.sources == {"cond": "latent"}


def test_an_encoder_with_variance_gives_its_mean(tmp_path):
    network, schedule = (
        denoisers.denoiser(tmp_path),
        make_schedule(PAPER, 2, start_timestep=50, start="input", sampler="ddim"),
    )
    both = denoisers.encoder(tmp_path, out=8)
    whole = unroll(network, schedule, encoder=both)
    image = np.random.default_rng(0).random((1, 1, 16, 16)).astype(np.float32)
    with Runner(whole.graph) as run, Runner(both) as encode, Runner(network) as plain:
        latent = encode({"image": image})["encoded"][:, :4]
        expected = sample(schedule, lambda x, t: plain({"sample": x, "timestep": np.array([t])})["noise_pred"], latent)
        assert np.abs(run({"image": image})["result"] - expected).max() < 1e-5


def test_conditions_are_wired_by_their_channels_or_as_told(tmp_path):
    schedule = make_schedule(PAPER, 2, sampler="ddim")
    first = denoisers.encoder(tmp_path)
    own = unroll(denoisers.denoiser(tmp_path, condition=3), schedule, encoder=first)
    assert own.sources == {"cond": "input"}
    assert "cond" in own.graph.inputs
    told = unroll(denoisers.denoiser(tmp_path, condition=4), schedule, encoder=first, conditions={"cond": "input"})
    assert told.sources == {"cond": "input"}
    with pytest.raises(ModelError, match="cond=text is no condition; use latent, image, input for one of cond"):
        unroll(denoisers.denoiser(tmp_path, condition=4), schedule, encoder=first, conditions={"cond": "text"})


def test_a_projection_is_applied_in_every_step(tmp_path):
    schedule = make_schedule(PAPER, 3, sampler="dpm++2m", start_timestep=50)
    whole = unroll(denoisers.denoiser(tmp_path), schedule, hook=denoisers.projection(tmp_path))
    rng = np.random.default_rng(4)
    image = rng.standard_normal((1, 4, 8, 8)).astype(np.float32)
    measured = rng.standard_normal((1, 4, 4, 4)).astype(np.float32)
    with Runner(whole.graph) as run:
        result = run({"image": image, "noise_start": image, "measured": measured})["result"]
    assert np.abs(result.reshape(1, 4, 4, 2, 4, 2).mean((3, 5)) - measured).max() < 1e-5


def test_parts_that_do_not_fit_are_refused(tmp_path):
    network, schedule = denoisers.denoiser(tmp_path), make_schedule(PAPER, 2, start_timestep=50)
    with pytest.raises(ModelError, match="state of 4 channels, which cannot start from the 3"):
        unroll(network, schedule, encoder=denoisers.encoder(tmp_path, out=3))
    with pytest.raises(ModelError, match=r"the decoder takes 5 channels, and .* gives 4"):
        unroll(network, schedule, decoder=denoisers.decoder(tmp_path, channels=5))
    with pytest.raises(ModelError, match="the encoder must have one input, a picture; it has sample, timestep"):
        unroll(network, schedule, encoder=network)


def test_an_if_inside_the_network_keeps_its_own_names_in_every_copy(tmp_path):
    branches = {
        f"{which}_branch": denoisers.helper.make_graph(
            [samples.node(operator, ["c0"], [which])], which, [], [denoisers.tensor(which, 1, 4, 8, 8)]
        )
        for which, operator in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        samples.node("Conv", ["x", "w"], ["c0"], pads=[1] * 4),
        samples.node("Greater", ["t", "limit"], ["late"]),
        samples.node("If", ["late"], ["eps"], **branches),
    ]
    weights = {"w": samples.weight(4, 4, 3, 3), "limit": np.array([30], np.float32)}
    inputs = [denoisers.tensor("x", 1, 4, 8, 8), denoisers.tensor("t", 1)]
    path = denoisers.save(tmp_path / "if.onnx", nodes, inputs, [denoisers.tensor("eps", 1, 4, 8, 8)], weights)
    schedule = make_schedule(PAPER, 3, sampler="ddim", start_timestep=50)
    assert unroll(samples.Graph.read(path), schedule).deviation < 1e-5
