"""Layers and the roofline of models of every task: each network by its name, each run counted."""

import numpy as np
import pytest

from edgesr.bench.layers import measure_layers
from edgesr.bench.opening import open_subject
from edgesr.bench.peaks import Peaks
from edgesr.bench.spec import Spec
from edgesr.cli.bench_layers import layer_lines
from edgesr.compile.choices import Choice
from edgesr.compile.fastest import FastestCpu
from tests.bench.label_data import classifier, segmenter
from tests.bench.records import document, row
from tests.pipelines.diffusion_packages import SCHEDULE
from tests.pipelines.diffusion_packages import package as diffusion
from tests.pipelines.test_tensorrt import Machine, make_package, one_machine

__all__ = ["one_machine"]


@pytest.fixture
def layers(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("edgesr.bench.layers.measure_peaks", lambda backend, threads: Peaks(1e9, 1e9))

    def measure(model, side, channels, device="cpu", **values):
        picture = np.full((side, side, channels), 90, np.uint8)
        with open_subject(Spec(str(model), device=device, threads=1, **values), tmp_path) as subject:
            subject.use([picture])
            subject.run(0)
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


def test_openvinos_kernels_are_told_network_by_network(layers, tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'edgesr[openvino]'")
    found = layers(diffusion(tmp_path), 8, 1, device="openvino", steps=3)
    assert {layer["name"].partition(": ")[0] for layer in found["layers"]} == {"encoder", "step", "decoder"}
    assert "Convolution" in {layer["type"] for layer in found["layers"]}
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(1)


def test_auto_tells_the_layers_of_the_runtime_that_it_timed(layers, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'edgesr[openvino]'")
    choice = Choice("openvino", {"onnxruntime": 2.0, "openvino": 1.0}, 0.0, None)
    monkeypatch.setattr("edgesr.compile.fastest_engine.compare_runtimes", lambda first, second, note, rest: choice)
    monkeypatch.setitem(FastestCpu.__init__.__kwdefaults__, "worth", 0.0)
    monkeypatch.setitem(FastestCpu.__init__.__kwdefaults__, "opening", 0.0)
    found = layers(make_package(tmp_path), 16, 1, device="auto")
    assert "Convolution" in {layer["type"] for layer in found["layers"]}  # ONNX Runtime calls it Conv
    assert "auto takes OpenVINO" in found["roofline"]["layers_by"]


def test_every_engine_of_a_diffusion_is_profiled_and_counts_as_often_as_it_runs(layers, tmp_path, one_machine: Machine):
    made = diffusion(tmp_path, schedule=SCHEDULE | {"num_inference_steps": 9})
    few, many = (layers(made, 8, 1, device="tensorrt", steps=steps) for steps in (9, 18))

    def total(found, part):
        return sum(layer["ms"] for layer in found["layers"] if layer["name"].startswith(f"tiny-diffusion ({part}): "))

    for part in ("encoder", "step", "decoder"):
        assert total(many, part) > 0
    # The double reports the same time for a layer in every run.
    assert total(many, "step") / total(few, "step") == pytest.approx(18 / 9)
    assert total(many, "decoder") == pytest.approx(total(few, "decoder"))
    assert sum(layer["share"] for layer in many["layers"]) == pytest.approx(1)


def test_the_one_engine_of_a_diffusion_of_few_steps_needs_no_name(layers, tmp_path, one_machine: Machine):
    found = layers(diffusion(tmp_path), 8, 1, device="tensorrt")
    assert found["layers"]
    assert not any(": " in layer["name"] for layer in found["layers"])
