"""Random words, and random whole pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesr.image import read
from tests.cli.commands import files
from tests.cli.conftest import Call
from tests.cli.pictures import picture

KNOWN = """run inspect models pack doctor list add remove a.png in in/ *.png none out out/ b.png b.tif . -- - --help
    --json --debug --range 0,1 -1,1 --layout NCHW --scale 2 -m -o --output --suffix _y --format png --quality 5 -r
    --restart --tile 64 --tta --device cpu cuda --threads 1 --provider --max-pixels --fidelity 0.5 --degradation
    --uncertainty --force --name --descriptor m.onnx"""
BEGINNINGS = ("", "run", "run a.png", "run in", "run a.png in -o out", "inspect", "models", "models add", "pack a.png")
WORDS = st.one_of(
    st.sampled_from(KNOWN.split()),
    st.text(max_size=12).filter(lambda word: not word.startswith("/") and ".." not in word),
    st.floats().map(str),
    st.integers().map(str),
)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(begin=st.sampled_from(BEGINNINGS), words=st.lists(WORDS, max_size=6))
@pytest.mark.usefixtures("loaded")
def test_random_words(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgesr.cli.doctor.execute", lambda arguments: 0)
    before = picture(tmp_path / "a.png", 4, 4).read_bytes()
    picture(tmp_path / "in/c.png", 4, 4)
    answer = call(*begin.split(), *words)
    assert answer.code in (0, 2, 3, 6), answer
    assert "internal error" not in answer.err, answer
    if answer.code in (2, 3) and "--debug" not in words:
        assert (answer.out, answer.err.count("\n")) == ("", 1), answer
    assert (tmp_path / "a.png").read_bytes() == before
    assert not [name for name in files(tmp_path) if name.endswith((".part", ".tmp"))]


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(h=st.integers(1, 9), w=st.integers(1, 9), channels=st.integers(1, 4), data=st.data())
@pytest.mark.usefixtures("loaded")
def test_any_whole_picture_is_enlarged(
    call: Call, tmp_path: Path, h: int, w: int, channels: int, data: st.DataObject
) -> None:
    suffix, dtype = data.draw(
        st.sampled_from([("png", "uint8"), ("png", "uint16"), ("tif", "uint8"), ("tif", "uint16"), ("tif", "float32")])
    )
    source = picture(tmp_path / f"a.{suffix}", h, w, channels, dtype, seed=h * w)
    answer = call("run", source)
    result = read(tmp_path / f"a_x2.{suffix}").pixels
    assert (answer.code, result.shape, result.dtype) == (0, (2 * h, 2 * w, channels), np.dtype(dtype))
