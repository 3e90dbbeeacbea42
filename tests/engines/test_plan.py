"""The header of plan files, read without TensorRT."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesr.engines.plan import PlanHeader, read_plan_header
from edgesr.errors import ModelError


def header(*version: int, serialization: int = 0, tag: bytes = b"ftrt") -> bytes:
    return tag + struct.pack("<I", serialization) + bytes(16) + bytes(version)


@pytest.mark.parametrize("version", [(8, 6, 1, 6), (10, 3, 0, 26), (10, 16, 1, 11), (11, 4, 0, 106)])
def test_the_version_is_at_byte_24(tmp_path, version):
    path = tmp_path / "a.engine"
    path.write_bytes(header(*version) + b"rest")
    found = read_plan_header(path)
    assert found == PlanHeader(version)
    assert found.version_text == ".".join(map(str, version))


def test_versions_agree_as_far_as_both_go():
    plan = PlanHeader((10, 3, 0, 26))
    assert plan.is_from((10, 3, 0))
    assert plan.is_from((10, 3, 0, 26))
    assert not plan.is_from((10, 3, 0, 30))
    assert not plan.is_from((10, 3, 1))
    assert not plan.is_from((8, 6, 1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.engine", b"", r"a\.engine is empty; build it again"),
        ("a.engine", b"hello there, this is text", r"no TensorRT engine \(it begins with b'hell'"),
        ("a.engine", header(8, 6, 1, 6)[:27], r"cut off after 27 bytes"),
        ("a.engine", header(8, 6, 1, 6, serialization=7), "serialization version 7"),
        ("a.onnx", b"\x08\x08\x12", r"a\.onnx is no TensorRT engine; build one from it with `edgesr build`"),
    ],
)
def test_what_is_no_plan_is_refused_with_a_remedy(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_plan_header(tmp_path / name)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read gone\.engine: No such file"):
        read_plan_header(tmp_path / "gone.engine")
    with pytest.raises(ModelError, match="directory"):
        read_plan_header(tmp_path)


@given(st.binary(max_size=64))
def test_no_bytes_crash_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("plan") / "a.engine"
    path.write_bytes(content)
    try:
        assert len(read_plan_header(path).version) == 4
    except ModelError as error:
        assert "a.engine" in str(error)
