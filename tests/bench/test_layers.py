"""Layers and the roofline of models of every task: each network by its name, each run counted."""

import numpy as np
import pytest

from edgesr.bench.layers import measure_layers
from edgesr.bench.peaks import Peaks
from edgesr.bench.spec import Spec
from edgesr.bench.subject import open_subject
from edgesr.cli.bench_layers import layer_lines
from tests.bench.label_data import classifier, segmenter
from tests.bench.records import document, row
from tests.pipelines.diffusion_packages import package as diffusion
from tests.pipelines.test_tensorrt import make_package


@pytest.fixture
def layers(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("edgesr.bench.layers.measure_peaks", lambda backend, threads: Peaks(1e9, 1e9))

    def measure(model, side, channels, **values):
        picture = np.full((side, side, channels), 90, np.uint8)
        with open_subject(Spec(str(model), device="cpu", threads=1, **values), tmp_path) as subject:
            subject.use([picture])
            return measure_layers(subject, picture, row())

    return measure


def test_a_classifier_has_layers_and_its_operations(layers, tmp_path):
    found = layers(classifier(tmp_path / "m"), 16, 3)
    assert {"MatMul", "GlobalAveragePool"} <= {layer["type"] for layer in found["layers"]}
    assert not any(": " in layer["name"] for layer in found["layers"])
    # A mean over 16 x 16 x 3 pixels and a product of 3 by 3, with a multiply and an add each.
    assert found["roofline"]["operations"] == 16 * 16 * 3 + 2 * 3 * 3
    assert found["roofline"]["runs_per_picture"] == 1


def test_the_networks_of_a_chain_are_told_apart_and_set_against_the_whole_time(layers, tmp_path):
    chain = f"{make_package(tmp_path, channels=3)}+{segmenter(tmp_path / 'm')}"
    found = layers(chain, 16, 3)
    networks = {layer["name"].partition(": ")[0] for layer in found["layers"]}
    assert networks == {"tiny network", "segment network"}
    assert found["roofline"]["runs_per_picture"] == 2
    whole = row().stages["end_to_end"].summary.median
    told = found["roofline"]
    assert told["operations_per_second"] == pytest.approx(told["operations"] / whole * 1e3)
    assert "end to end" in "\n".join(layer_lines(document(row(**found))))


def test_every_step_of_a_diffusion_counts(layers, tmp_path):
    made = diffusion(tmp_path)
    few, many = (layers(made, 8, 1, steps=steps) for steps in (1, 3))
    assert {layer["name"].partition(": ")[0] for layer in many["layers"]} == {"encoder", "step", "decoder"}
    # Encoder, steps and decoder, or with the encoder and decoder once more for a projection: only steps differ.
    assert many["roofline"]["runs_per_picture"] - few["roofline"]["runs_per_picture"] == 2
    assert many["roofline"]["operations"] > few["roofline"]["operations"]
