"""``edgesr build --target engine`` and ``edgesr cache`` on the double."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.compile.engine_cache import EngineCache
from edgesr.pipelines.load import load
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.test_tensorrt import Machine, make_package


@pytest.mark.parametrize("version", VERSIONS)
def test_a_built_package_finds_its_engine_and_the_cache_shows_and_forgets_it(version, monkeypatch, tmp_path, capsys):
    machine = Machine(version, monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package, output = make_package(tmp_path), tmp_path / "typed.edgesr"
    assert main(["build", str(package), "--fp16", "--target", "engine", "-o", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["target"] == "engine"
    (entry,) = EngineCache().entries()
    assert str(entry.path) in said["notes"][0]
    assert entry.model == "tiny-fp16"
    notes: list[str] = []
    with load(output, "tensorrt", note=notes.append) as restorer:
        assert restorer(np.zeros((8, 8), np.uint8)).shape == (16, 16)
    assert notes == []
    machine.fake.check()
    assert main(["cache", "list"]) == 0
    line = capsys.readouterr().out
    assert f"TensorRT {version}" in line
    assert "image:1x1x512x512" in line
    assert main(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"][0]["key"] == entry.key
    assert main(["cache", "clear"]) == 0
    assert "MB freed" in capsys.readouterr().err
    assert EngineCache().entries() == []
    assert main(["cache"]) == 0
    assert "there are no engines" in capsys.readouterr().err
    assert "tensorrt" not in sys.modules
