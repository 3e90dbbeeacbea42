from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgesr.schedule import COLUMNS, SAMPLERS

PAGE = (Path(__file__).parents[2] / "docs" / "diffusion.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/diffusion.md", "exec"), {})
    assert "(3, 8)" in capsys.readouterr().out


def test_every_column_and_sampler_is_described():
    for name in (*COLUMNS, *SAMPLERS):
        assert f"`{name}`" in PAGE
