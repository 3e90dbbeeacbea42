"""Kernels of lower precision are compared before they run; a double that rounds stands for the processor's units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import edgesr
from edgesr.engines import Backend, open_backend
from edgesr.engines.base import Buffer
from edgesr.errors import AccuracyError, BackendError, UsageError
from edgesr.pipelines import place
from edgesr.pipelines.load import load
from tests import networks


class Rounding:
    """ONNX Runtime whose outputs keep ``bits`` of the mantissa; bf16 has 7."""

    name = "openvino:cpu:bf16"
    is_asynchronous = False

    def __init__(self, bits: int) -> None:
        self._backend = open_backend("cpu", threads=1)
        self._bits = bits

    def load(self, path: Path) -> RoundingEngine:
        return RoundingEngine(self._backend.load(path), self._bits)

    def __getattr__(self, name: str):
        return getattr(self._backend, name)


class RoundingEngine:
    def __init__(self, engine, bits: int) -> None:
        self._engine, self._bits = engine, bits
        self.inputs, self.outputs, self.close = engine.inputs, engine.outputs, engine.close

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        found = self._engine.run(inputs, outputs)
        for buffer in found.values():
            values = buffer.numpy()
            step = np.exp2(np.floor(np.log2(np.maximum(np.abs(values), 1e-30))) - self._bits)
            values[...] = np.rint(values / step) * step
        return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, int]:
    """Open doubles in place of OpenVINO; count how often by precision, bits of the mantissa under ``bits``."""
    count: dict[str | None, int] = {"bits": 7}

    def open_double(device: str, *, precision: str | None, **_: object) -> Backend:
        count[precision] = count.get(precision, 0) + 1
        return Rounding(count["bits"]) if precision == "bf16" else open_backend("cpu", threads=1)

    monkeypatch.setattr(place, "open_backend", open_double)
    return count


def test_rounding_to_bf16_passes_its_gate_and_is_said(opened):
    notes: list[str] = []
    with load("cxr-x4-fast", "openvino", precision="bf16", note=notes.append) as restorer:
        assert restorer.device == "openvino:cpu:bf16"
        assert restorer(np.full((8, 8), 99, np.uint8)).shape == (32, 32)
    assert len(notes) == 1
    assert "bf16 is at least" in notes[0]
    assert "golden picture" in notes[0]


def test_a_comparison_is_made_once(opened):
    for _ in range(2):
        load("cxr-x4-fast", "openvino", precision="bf16").close()
    assert (opened["bf16"], opened[None]) == (2, 1)


def test_what_misses_the_gate_does_not_run(opened):
    opened["bits"] = 3
    for _ in range(2):
        with pytest.raises(AccuracyError, match=r"cxr-x4-fast in bf16 missed its accuracy gate.*PSNR.*run it in fp32"):
            load("cxr-x4-fast", "openvino", precision="bf16")
    assert opened[None] == 1


def test_a_bare_network_is_compared_on_drawn_pictures(opened, tmp_path):
    path = networks.convolution_x(tmp_path / "net.onnx", scale=2)
    notes: list[str] = []
    opened["bits"] = 12
    load(path, "openvino", precision="bf16", note=notes.append).close()
    assert "drawn pictures" in notes[0]


def test_fp32_by_name_is_compared_with_nothing(opened):
    load("cxr-x4-fast", "openvino", precision="fp32").close()
    assert opened == {"bits": 7, "fp32": 1}


def test_networks_without_pictures_are_refused():
    with pytest.raises(UsageError, match="a chain of two models does not make"):
        edgesr.load("cxr-x4+cxr-x4-fast", "openvino", precision="bf16")
    with pytest.raises(UsageError, match="--device openvino alone"):
        edgesr.load("cxr-x4-fast", "cpu", precision="bf16")


def test_openvino_restores_what_onnx_runtime_restores():
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'edgesr[openvino]'")
    picture = np.random.default_rng(1).integers(0, 256, (40, 33), np.uint8)
    with edgesr.load("cxr-x4-fast", "cpu") as ort, edgesr.load("cxr-x4-fast", "openvino") as openvino:
        assert openvino.device == "openvino:cpu"
        expected, found = ort(picture), openvino(picture)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) < 1e-3


def test_auto_finds_the_faster_runtime_when_there_is_work(monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'edgesr[openvino]'")
    from edgesr.compile import fastest

    monkeypatch.setattr(fastest.FastestCpu.__init__, "__kwdefaults__", {"backends": None, "worth": 0.0, "opening": 0.0})
    notes: list[str] = []
    picture = np.random.default_rng(1).integers(0, 256, (24, 24), np.uint8)
    with edgesr.load("cxr-x4-fast", "auto", threads=1, note=notes.append) as restorer:
        if restorer.device != "auto:cpu":
            pytest.skip(f"auto takes {restorer.device} here, not a CPU")
        found = restorer(picture)
    with edgesr.load("cxr-x4-fast", "cpu", threads=1) as ort:
        assert np.abs(found.astype(int) - ort(picture)).max() <= 1
    assert len(notes) == 1
    assert "auto takes O" in notes[0]


def test_a_missing_openvino_is_said_with_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match=r"pip install 'edgesr\[openvino\]'"):
        edgesr.load("cxr-x4-fast", "openvino")
