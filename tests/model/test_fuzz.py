"""Whatever the bytes, only EdgesrError may escape."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesr.errors import EdgesrError, ModelError
from edgesr.model import ModelDescriptor, inspect_onnx, open_package, verify, write_package
from edgesr.model.onnx_file import read_graph
from edgesr.model.protobuf import external_files
from edgesr.model.schema import load
from tests.model.samples import descriptor, document, trained

quick = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["rgb", "image", "../x"])
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3), max_leaves=6
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


PLACES = places(document())[1:]
VALIDATOR = jsonschema.Draft202012Validator(load())


@quick
@given(st.lists(st.tuples(st.sampled_from(PLACES), values), min_size=1, max_size=3), st.booleans())
def test_mutated_documents_are_read_or_refused(changes: list[tuple[tuple[Any, ...], Any]], as_text: bool) -> None:
    data: Any = document()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):
            place = data
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
    try:
        read = ModelDescriptor.from_json(json.dumps(data) if as_text else data, source="fuzz")
    except ModelError as error:
        assert "\n" not in str(error)
        return
    assert VALIDATOR.is_valid(json.loads(json.dumps(data)))
    assert ModelDescriptor.from_json(read.to_json(), source="fuzz") == read


@quick
@given(st.binary(max_size=60), st.data())
def test_mutated_texts_are_read_or_refused(noise: bytes, data: st.DataObject) -> None:
    text = json.dumps(document())
    at = data.draw(st.integers(0, len(text)))
    mutated = text[:at] + noise.decode("utf-8", "surrogateescape") + text[at + data.draw(st.integers(0, 40)) :]
    with suppress(ModelError):
        ModelDescriptor.from_json(mutated, source="fuzz")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("fuzz")
    files = {"network.onnx": trained(folder / "network.onnx", 0, 1), "notes.txt": b"hello", "golden/a.txt": b"x" * 200}
    return write_package(folder / "a.edgesr", descriptor(), files).read_bytes()


def mutated(content: bytes, data: st.DataObject) -> bytes:
    """Change bytes (often near the end, where a zip has its directory), cut, or insert."""
    result = bytearray(content)
    last = len(result) - 1
    positions = st.one_of(st.integers(0, last), st.integers(max(last - 400, 0), last), st.integers(0, min(300, last)))
    for at, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), max_size=6)):
        result[at] = value
    if data.draw(st.booleans()):
        at = data.draw(positions)
        result[at : at + data.draw(st.integers(0, 50))] = data.draw(st.binary(max_size=50))
    return bytes(result)


@quick
@given(st.data())
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_mutated_archives_are_read_or_refused(tmp_path: Path, archive: bytes, data: st.DataObject) -> None:
    path = tmp_path / "a.edgesr"
    path.write_bytes(mutated(archive, data))
    try:
        package = open_package(path)
        verify(package)
        package.part_path("network")
        package.read("notes.txt")
    except EdgesrError as error:
        assert "\n" not in str(error)


@quick
@given(st.data())
def test_mutated_networks_are_read_or_refused(tmp_path: Path, archive: bytes, data: st.DataObject) -> None:
    original = (
        trained(tmp_path / "original.onnx", 0, 1).read_bytes() if not (tmp_path / "original.onnx").exists() else None
    )
    content = original or (tmp_path / "original.onnx").read_bytes()
    path = tmp_path / "a.onnx"
    path.write_bytes(mutated(content, data))
    for look in (read_graph, inspect_onnx, lambda p: external_files(p, "a.onnx")):
        try:
            look(path)
        except EdgesrError as error:
            assert "\n" not in str(error)
