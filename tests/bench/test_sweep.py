"""Sweeps from TOML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesr.bench.sweep import read_sweep
from edgesr.errors import UsageError


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_lists_are_tried_in_every_combination(tmp_path):
    sweep = read_sweep(written(tmp_path, 'models = ["a", "b"]\nprecision = ["fp32", "int8"]\ntile = [64, 128, 256]\n'))
    assert len(sweep.specs) == 12
    assert [(s.model, s.precision, s.tile) for s in sweep.specs[:4]] == [
        ("a", "fp32", 64),
        ("a", "fp32", 128),
        ("a", "fp32", 256),
        ("a", "int8", 64),
    ]
    assert {s.steps for s in sweep.specs} == {None}


def test_tables_are_products_of_their_own_and_take_the_rest_from_the_top(tmp_path):
    text = """
device = "cpu"
threads = 2
duration = "5s"
budget = "30ms"
streams = [1, 2]
hr = "references"

[[sweep]]
models = "cxr-x4"

[[sweep]]
models = ["diffusion"]
steps = [1, 4]
threads = 1
controls = { sampler = "ddim", seed = 3 }
"""
    sweep = read_sweep(written(tmp_path, text))
    assert [(s.model, s.steps, s.device, s.threads) for s in sweep.specs] == [
        ("cxr-x4", None, "cpu", 2),
        ("diffusion", 1, "cpu", 1),
        ("diffusion", 4, "cpu", 1),
    ]
    assert sweep.specs[1].controls == {"sampler": "ddim", "seed": 3}
    assert sweep.options == {
        "duration": "5s",
        "budget": "30ms",
        "streams": "1,2",
        "hr": str(tmp_path / "references"),
    }


def test_models_beside_the_file_are_found_from_anywhere(tmp_path):
    (tmp_path / "mine.edgesr").write_bytes(b"")
    sweep = read_sweep(written(tmp_path, 'models = ["mine.edgesr", "cxr-x4"]'))
    assert [s.model for s in sweep.specs] == [str(tmp_path / "mine.edgesr"), "cxr-x4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "is no TOML file"),
        ("", "names no models"),
        ('models = ["a"]\nprecisions = ["fp16"]', "no setting 'precisions'.*precision"),
        ('models = ["a"]\nprecision = ["fp8"]', "fp8"),
        ('models = ["a"]\ntile = [0]', "tile must be a whole number from 1"),
        ('models = ["a"]\ntile = [true]', "tile must be a whole number"),
        ('models = ["a"]\nsteps = "4"', "steps must be a whole number"),
        ("models = [3]", "models must be a text"),
        ('models = ["a"]\ncontrols = 3', "controls must be a table"),
        ('models = ["a"]\ndevice = 1', "device must be a text"),
        ('models = ["a"]\nduration = true', "duration must be a text or a number"),
        ('models = ["a", "a"]', "asks for a twice"),
        ('sweep = 3\nmodels = ["a"]', r"\[\[sweep\]\]"),
        ('[[sweep]]\nmodels = ["a"]\nduration = "5s"', "sweep 1: there is no setting 'duration' here"),
        (f'models = ["a"]\ntile = {list(range(1, 20_000))}', "more than 10000 rows"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_file(tmp_path, text, message):
    with pytest.raises(UsageError, match=rf"sweep\.toml.*{message}") as caught:
        read_sweep(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_sweep(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no TOML file"):
        read_sweep(tmp_path / "binary.toml")
