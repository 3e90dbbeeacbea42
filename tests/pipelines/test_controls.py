from __future__ import annotations

import dataclasses

import pytest

from edgesr.errors import UsageError
from edgesr.model import Control, ModelDescriptor, Part
from edgesr.pipelines.controls import resolve_controls, show_controls

MODEL = ModelDescriptor(
    name="m",
    version="1",
    task="restore",
    parts={"network": Part("n.onnx", "")},
    controls={
        "fidelity": Control((0.5,), 0.0, 1.0),
        "degradation": Control((0.0, 0.0), choices={"auto": (0.0, 0.0), "cubic": (50.0, 0.0)}),
    },
)


def test_what_is_not_given_keeps_the_default_of_the_model_or_of_the_restorer():
    assert resolve_controls(MODEL, {}) == {"fidelity": (0.5,), "degradation": (0.0, 0.0)}
    assert resolve_controls(MODEL, {"fidelity": None}, {"fidelity": (0.25,)})["fidelity"] == (0.25,)


def test_numbers_sequences_and_names_are_taken():
    assert resolve_controls(MODEL, {"fidelity": 1})["fidelity"] == (1.0,)
    assert resolve_controls(MODEL, {"degradation": [1, 2]})["degradation"] == (1.0, 2.0)
    assert resolve_controls(MODEL, {"degradation": "cubic"})["degradation"] == (50.0, 0.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fidelity": 1.5}, "between 0 and 1"),
        ({"fidelity": float("nan")}, "finite"),
        ({"fidelity": "high"}, "a number"),
        ({"fidelity": [0.1, 0.2]}, "1 finite"),
        ({"degradation": "lanczos"}, "auto, cubic"),
        ({"fidelty": 1}, "did you mean 'fidelity'"),
    ],
)
def test_wrong_values_are_refused_with_what_is_possible(given, message):
    with pytest.raises(UsageError, match=message):
        resolve_controls(MODEL, given)


def test_values_are_shown_as_a_user_gives_them():
    assert show_controls(MODEL, resolve_controls(MODEL, {"degradation": "cubic"})) == {
        "fidelity": 0.5,
        "degradation": "cubic",
    }
    assert show_controls(MODEL, resolve_controls(MODEL, {"degradation": [1, 2]}))["degradation"] == [1.0, 2.0]


def test_a_model_without_controls_takes_none():
    with pytest.raises(UsageError, match="it has: none"):
        resolve_controls(dataclasses.replace(MODEL, controls={}), {"fidelity": 1.0})
