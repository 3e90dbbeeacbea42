"""The page of what is supported is made from results, and says nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.page import render

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = json.loads((DOCS / "support.json").read_text("utf-8"))


def test_the_page_is_what_the_results_say() -> None:
    assert (DOCS / "support.md").read_text("utf-8") == render(RESULTS), "run python -m tests.support --render"
    assert "(docs/support.md)" in (DOCS.parent / "README.md").read_text("utf-8")


def test_a_step_that_fails_is_shown_with_its_reason() -> None:
    name, row = next(iter(RESULTS["families"].items()))
    broken = {**row, "int8": {"ok": False, "why": "PSNR 3 dB is below 38 dB"}}
    page = render({**RESULTS, "families": {name: broken}})
    line = next(line for line in page.splitlines() if line.startswith(f"| {row['title']}, "))
    assert line.split(" | ")[4] == "no"
    assert f"* {row['title']}, int8: PSNR 3 dB is below 38 dB" in page


def test_an_engine_of_fp32_in_place_of_fp16_is_called_that() -> None:
    name, row = next(iter(RESULTS["families"].items()))
    other = {**row, "tensorrt_10": {**row["tensorrt_10"], "precision": "fp32"}}
    page = render({**RESULTS, "families": {name: other}})
    line = next(line for line in page.splitlines() if line.startswith(f"| {row['title']}, "))
    assert line.split(" | ")[6:9] == ["double", "double, FP32", "double"]
