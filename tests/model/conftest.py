"""One small network for all tests of edgesr.model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.samples import enlarge


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey x2 ONNX file; tests must not change it."""
    return enlarge(tmp_path_factory.mktemp("network") / "enlarge.onnx")
