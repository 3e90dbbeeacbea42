"""``edgesr pack``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture


@pytest.fixture
def place(tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.onnx").write_bytes(models.onnx.read_bytes())
    return tmp_path


@pytest.mark.parametrize("output", ["mine-x2.edgesr", "mine-x2", "new/mine-x2.edgesr"])
def test_a_packed_network_runs(call: Call, place: Path, output: str) -> None:
    (place / "new").mkdir()
    answer = call("pack", "bare.onnx", "-o", output, "--model-version", "2.1.0")
    assert (answer.code, answer.out) == (0, f"{output}\n")
    assert all(line.startswith("edgesr: ") for line in answer.err.splitlines())
    document = call("inspect", output, "--json").document
    assert (document["name"], document["version"], document["scale"]) == ("mine-x2", "2.1.0", 2)
    assert call("run", picture(place / "a.png"), "-m", output).code == 0


def test_json_names_the_package_and_its_digest(call: Call, place: Path) -> None:
    answer = call("pack", "bare.onnx", "-o", "mine.edgesr", "--name", "other-x2", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document["package"] == "mine.edgesr"
    inspected = call("inspect", "mine.edgesr", "--json").document
    assert (inspected["name"], inspected["digest"]) == ("other-x2", answer.document["digest"])


def test_the_descriptor_file_adds_what_the_network_does_not_say(call: Call, place: Path) -> None:
    (place / "more.json").write_text(json.dumps({"licence": "MIT", "description": "mine"}))
    assert call("pack", "bare.onnx", "-o", "mine.edgesr", "--descriptor", "more.json").code == 0
    document = call("inspect", "mine.edgesr", "--json").document
    assert (document["licence"], document["description"]) == ("MIT", "mine")


def test_name_and_version_come_from_the_descriptor_file_unless_they_are_given(call: Call, place: Path) -> None:
    (place / "more.json").write_text(json.dumps({"schema": 1, "name": "theirs", "version": "7"}))
    assert call("pack", "bare.onnx", "-o", "mine.edgesr", "--descriptor", "more.json").code == 0
    document = call("inspect", "mine.edgesr", "--json").document
    assert (document["name"], document["version"]) == ("theirs", "7")
    answer = call("pack", "bare.onnx", "-o", "mine.edgesr", "--descriptor", "more.json", "--name", "mine")
    assert (answer.code, "leave it out" in answer.error) == (2, True)
    (place / "more.json").write_text(json.dumps({"schema": 99}))
    answer = call("pack", "bare.onnx", "-o", "other.edgesr", "--descriptor", "more.json")
    assert (answer.code, "schema: is 1 here, got 99" in answer.error) == (2, True)
    assert not (place / "other.edgesr").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "one JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"licence": 5}', "licence"),
        ('{"lisence": "MIT"}', "licence"),
        ('{"scale": 0}', "scale"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_a_wrong_descriptor_file_is_one_line(call: Call, place: Path, content: str | bytes | None, reason: str) -> None:
    if content is not None:
        (place / "more.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    answer = call("pack", "bare.onnx", "-o", "mine.edgesr", "--descriptor", "more.json")
    assert (answer.code in (2, 3), reason in answer.error) == (True, True), answer.err
    assert not (place / "mine.edgesr").exists()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["none.onnx", "-o", "m.edgesr"], 3, "none.onnx"),
        (["text.onnx", "-o", "m.edgesr"], 3, "text.onnx"),
        (["pipe", "-o", "m.edgesr"], 3, "pipe"),
        (["bare.onnx", "-o", "m.edgesr", "--descriptor", "pipe"], 2, "pipe"),
        (["bare.onnx", "-o", "m.edgesr", "--descriptor", "/dev/zero"], 2, "/dev/zero"),
        (["bare.onnx", "-o", "text.onnx/m.edgesr"], 3, "text.onnx/m.edgesr"),
        (["bare.onnx", "-o", "/proc/none/m.edgesr"], 3, "/proc/none/m.edgesr"),
        (["bare.onnx", "-o", "m.edgesr", "--name", "No Name"], 2, "No Name"),
        (["bare.onnx", "-o", "m.edgesr", "--model-version", "new\nest"], 2, "version"),
        (["bare.onnx", "-o", "m.edgesr", "--scale", "4"], 3, "scale"),
        (["bare.onnx"], 2, "--output"),
    ],
)
def test_what_cannot_be_packed_is_one_line(call: Call, place: Path, words: list[str], code: int, reason: str) -> None:
    (place / "text.onnx").write_text("no network")
    os.mkfifo(place / "pipe")
    answer = call("pack", *words)
    assert (answer.code, answer.out, reason in answer.error) == (code, "", True), answer.err
    assert [name for name in files(place) if "m.edgesr" in name or name.startswith(".")] == []
