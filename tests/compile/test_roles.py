from __future__ import annotations

import pytest

from edgesr.compile.roles import find_roles
from edgesr.errors import ModelError
from tests.compile import denoisers


def test_a_network_as_diffusers_names_it_is_understood(tmp_path):
    roles = find_roles(denoisers.denoiser(tmp_path))
    assert (roles.state, roles.timestep, roles.output) == ("sample", "timestep", "noise_pred")
    assert (roles.channels, roles.joined, roles.conditions) == (4, 0, ())


def test_names_that_say_nothing_are_told_apart_by_shape_and_type(tmp_path):
    roles = find_roles(denoisers.denoiser(tmp_path, names=("in0", "in1", "in2"), joined=4))
    assert (roles.state, roles.timestep, roles.joined) == ("in0", "in1", 4)
    other = find_roles(denoisers.denoiser(tmp_path, names=("in0", "in1", "in2"), condition=1))
    assert (other.state, other.conditions) == ("in0", ("in2",))


def test_pictures_that_cannot_be_told_apart_are_refused_until_one_is_named(tmp_path):
    network = denoisers.denoiser(tmp_path, names=("in0", "in1", "in2"), condition=4)
    with pytest.raises(ModelError, match=r"any of 'in0', 'in2' may be the state; say which, e\.g\. --role state=in0"):
        find_roles(network)
    assert find_roles(network, {"state": "in2"}).conditions == ("in0",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"state": "y"}, "has no tensor 'y' for the state; it has sample, timestep"),
        ({"time": "t"}, "unknown role 'time'"),
    ],
)
def test_roles_of_what_is_not_there_are_refused(given, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        find_roles(denoisers.denoiser(tmp_path), given)


def test_a_network_that_predicts_its_variance_is_refused(tmp_path):
    with pytest.raises(ModelError, match="predicts its variance too"):
        find_roles(denoisers.denoiser(tmp_path, out_channels=8))


def test_a_network_without_a_picture_is_refused(tmp_path):
    network = denoisers.Graph.read(
        denoisers.save(tmp_path / "n.onnx", [denoisers.node("Relu", ["a"], ["b"])], [denoisers.tensor("a", 1, 4)],
                       [denoisers.tensor("b", 1, 4)])
    )  # fmt: skip
    with pytest.raises(ModelError, match="no float output like a picture"):
        find_roles(network)
