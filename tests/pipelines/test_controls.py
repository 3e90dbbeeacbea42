from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgesr.errors import UsageError
from edgesr.model import Control, ModelDescriptor, Part
from edgesr.pipelines.controls import estimate_controls, resolve_controls, show_controls

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


LISTENING = dataclasses.replace(
    MODEL,
    controls={"kind": Control((0.25, 0.75), choices={"first": (1.0, 0.0)}, estimated=True)},
    degradation={
        "estimator": {
            "kernels": ["first", "second"],
            "mean": [0.0] * 16,
            "deviation": [1.0] * 16,
            "weights": [[0.0] * 7 + [1.0] + [0.0] * 8, [0.0] * 16],
            "bias": [0.0, 0.0],
        }
    },
)


def test_an_estimated_control_is_decided_by_each_picture_unless_it_is_set():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    smooth = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))[..., None]
    left = resolve_controls(LISTENING, {})
    (first, second) = estimate_controls(LISTENING, left, noise)["kind"]
    assert first > 0.99 and first + second == pytest.approx(1)
    assert estimate_controls(LISTENING, left, smooth)["kind"][0] < 0.2
    assert estimate_controls(LISTENING, resolve_controls(LISTENING, {"kind": "first"}), smooth)["kind"] == (1.0, 0.0)
    forced = resolve_controls(LISTENING, {"kind": [0.5, 0.5]})
    assert estimate_controls(LISTENING, resolve_controls(LISTENING, {"kind": "auto"}, forced), noise)["kind"][0] > 0.99
    assert estimate_controls(LISTENING, forced, noise)["kind"] == (0.5, 0.5)


@pytest.mark.parametrize("shape", [(1, 1), (31, 400), (64, 64)])
def test_a_picture_that_shows_nothing_gets_the_default(shape):
    flat = np.full((*shape, 1), 7, np.uint8)
    assert estimate_controls(LISTENING, resolve_controls(LISTENING, {}), flat)["kind"] == (0.25, 0.75)


def test_an_estimated_control_is_shown_and_named_as_auto():
    assert show_controls(LISTENING, resolve_controls(LISTENING, {})) == {"kind": "auto"}
    with pytest.raises(UsageError, match="kind must be auto, first, got 'third'"):
        resolve_controls(LISTENING, {"kind": "third"})
