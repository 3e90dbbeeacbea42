"""``edgesr inspect``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call, Models


@pytest.mark.parametrize("kind", ["package", "folder", "onnx"])
def test_it_says_what_is_in_a_model(call: Call, models: Models, kind: str) -> None:
    model = getattr(models, kind)
    document = call("inspect", model, "--json").document
    assert (document["scale"], document["task"], document["input_channels"]) == (2, "restore", 1)
    assert document["receptive_field"] == 3
    assert len(document["digest"]) == 64
    assert list(document["onnx"]) == ["network"]
    assert bool(document["notes"]) == (kind == "onnx")
    answer = call("inspect", model)
    assert (answer.code, answer.err) == (0, "")
    assert "scale: 2" in answer.out.splitlines()


def test_a_licence_of_several_lines_stays_below_its_name(call: Call, models: Models, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"licence": "Ours.\\nTheirs:\\n\\nas is"}')
    packed = call("pack", models.onnx, "-o", tmp_path / "told.edgesr", "--descriptor", tmp_path / "more.json")
    assert packed.code == 0, packed.err
    shown = call("inspect", tmp_path / "told.edgesr").out
    assert "licence: Ours.\n  Theirs:\n  \n  as is\n" in shown


def test_a_bare_file_may_be_told_what_it_does_not_say(call: Call, models: Models) -> None:
    words = ("--range=-1,1", "--channel-order", "grey", "--layout", "NCHW", "--scale", "2", "--json")
    document = call("inspect", models.onnx, *words).document
    assert (document["input"]["range"], document["input"]["color"]) == ([-1, 1], "grey")


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["none-x2"], 3, "no such model"),
        (["text.onnx"], 3, "text.onnx"),
        (["text.edgesr"], 3, "text.edgesr"),
        (["empty.onnx"], 3, "empty.onnx"),
        (["folder"], 3, "model.json"),
        (["bare.onnx", "--scale", "3"], 3, "scale 2, not 3"),
        (["bare.onnx", "--range", "5,1"], 2, "range"),
        (["bare.onnx", "--range", "nan,1"], 2, "range"),
        (["bare.onnx", "--channel-order", "rgb"], 3, "rgb"),
        (["bare.onnx", "--layout", "NHWC"], 3, "bare.onnx"),
    ],
)
def test_what_cannot_be_inspected_is_one_line(
    call: Call,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("text.onnx", "text.edgesr"):
        (tmp_path / name).write_text("neither network nor package")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "bare.onnx").write_bytes(models.onnx.read_bytes())
    answer = call("inspect", *words)
    assert (answer.code, answer.out, reason in answer.error) == (code, "", True), answer.err
