"""The page of what is supported against the code: nothing stale, and what it says holds for small networks too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from tests.support.catalogue import FAMILIES
from tests.support.steps import called

RESULTS = json.loads((Path(__file__).parents[2] / "docs" / "support.json").read_text("utf-8"))["families"]


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_those_of_the_present_architectures(name: str) -> None:
    assert RESULTS[name]["sources"] == FAMILIES[name].sources(), f"run python -m tests.support {name}"


@pytest.mark.parametrize("name", ["rrdb-2"])
def test_a_small_network_of_the_family_can_do_what_the_page_says(name: str, tmp_path: Path) -> None:
    found = FAMILIES[name].prove(tmp_path, is_small=True)
    for step, result in found.items():
        if isinstance(result, dict) and step in RESULTS[name]:
            assert result["ok"] == RESULTS[name][step]["ok"], (step, result)
    assert found["dla"]["taken"] <= found["dla"]["layers"] == found["export"]["nodes"]


@pytest.mark.parametrize("code", [130, 143])
def test_a_signal_that_a_command_caught_ends_the_measurement(code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        called(lambda: code)
    assert ended.value.code == code
    assert called(lambda: 5)[0] == 5
