from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgesr.engines import open_backend
from edgesr.errors import ModelError
from tests.model.samples import enlarge


@pytest.mark.parametrize(("newer", "cause"), [("opset", "opset is newer"), ("ir_version", "IR version: 99")])
def test_a_network_newer_than_the_runtime_is_explained_without_its_source_code(
    tmp_path: Path, newer: str, cause: str
) -> None:
    model = onnx.load(enlarge(tmp_path / "x.onnx"))
    if newer == "opset":
        model.opset_import[0].version = 99
    else:
        model.ir_version = 99
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=f"{cause}.*; update onnxruntime, or export the network with") as caught:
        open_backend("cpu").load(tmp_path / "x.onnx")
    assert "onnxruntime_src" not in str(caught.value)
