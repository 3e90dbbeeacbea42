"""``edgesr models``: list, add and remove."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesr.model import open_package, pack
from edgesr.model.chain import write_chain
from edgesr.pipelines.load import cpu_probe
from tests import networks
from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture


def names(call: Call) -> list[str]:
    return [model["name"] for model in call("models", "--json").document]


def test_a_model_is_added_listed_used_and_removed(call: Call, models: Models, tmp_path: Path, own_home: Path) -> None:
    shipped = names(call)
    added = call("models", "add", models.package)
    installed = own_home / "data/edgesr/models/tiny-x2.edgesr"
    assert (added.code, added.out, added.err) == (0, f"{installed}\n", "")
    assert names(call) == sorted([*shipped, "tiny-x2"])
    (line,) = [line for line in call("models").out.splitlines() if line.startswith("tiny-x2")]
    assert line.split()[1:4] == ["1.0.0", "restore", "x2"]
    assert "installed" in line
    assert call("run", picture(tmp_path / "a.png"), "-m", "tiny-x2").code == 0
    assert call("models", "remove", "tiny-x2", "--json").document == {"remove": str(installed)}
    assert names(call) == shipped
    assert files(own_home / "data") == []


def test_a_package_folder_is_added_as_one_file(call: Call, models: Models, own_home: Path) -> None:
    assert call("models", "add", models.folder, "--json").code == 0
    assert files(own_home / "data") == ["edgesr/models/tiny-x2.edgesr"]


def test_a_model_of_the_same_name_is_replaced_only_by_force(call: Call, models: Models) -> None:
    call("models", "add", models.package)
    answer = call("models", "add", models.package)
    assert (answer.code, "--force" in answer.error) == (2, True)
    assert call("models", "add", models.package, "--force").code == 0


def test_the_list_says_what_is_damaged(call: Call, models: Models, own_home: Path) -> None:
    call("models", "add", models.package)
    (own_home / "data/edgesr/models/tiny-x2.edgesr").write_bytes(b"PK damaged")
    (line,) = [line for line in call("models").out.splitlines() if line.startswith("tiny-x2")]
    assert "damaged" in line
    (model,) = [model for model in call("models", "--json").document if model["name"] == "tiny-x2"]
    assert model["problem"]
    assert call("models", "remove", "tiny-x2").code == 0


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["add", "none.edgesr"], 3, "none.edgesr"),
        (["add", "text.edgesr"], 3, "text.edgesr"),
        (["add", "empty.edgesr"], 3, "empty.edgesr"),
        (["add", "/dev/null"], 3, "/dev/null"),
        (["remove", "nothing-x2"], 3, "no such model"),
        (["remove", "../tiny"], 3, "no such model"),
    ],
)
def test_what_cannot_be_added_or_removed_is_one_line(
    call: Call,
    tmp_path: Path,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.edgesr").write_text("no package")
    (tmp_path / "empty.edgesr").touch()
    answer = call("models", *words)
    assert (answer.code, answer.out, reason in answer.error) == (code, "", True), answer.err
    assert not own_home.joinpath("data").exists() or files(own_home / "data") == []


def test_a_mistyped_model_is_suggested(call: Call, models: Models, tmp_path: Path) -> None:
    call("models", "add", models.package)
    for words in (["run", tmp_path / "a.png", "-m", "tiny-x3"], ["inspect", "tinyx2"], ["models", "remove", "tiny-2"]):
        answer = call(*words)
        assert (answer.code, "tiny-x2" in answer.error) == (3, True)
        assert "did you mean" in answer.error


def test_models_that_label_pictures_are_listed_with_their_classes(call: Call, own_home: Path, tmp_path: Path) -> None:
    folder = own_home / "data/edgesr/models"
    folder.mkdir(parents=True)
    said = {"task": "classify", "labels": ["red", "green", "blue"]}
    network = networks.color_classifier(tmp_path / "c.onnx")
    pack(network, folder / "colours.edgesr", name="colours", version="1", overrides=said, probe=cpu_probe)
    enlarging = networks.convolution_x(tmp_path / "n.onnx", channels=3)
    pack(enlarging, tmp_path / "x2.edgesr", name="x2", version="1", overrides={}, probe=cpu_probe)
    both = (open_package(path) for path in (tmp_path / "x2.edgesr", folder / "colours.edgesr"))
    write_chain(folder / "both.edgesr", *both, name="both", version="1")
    listed = {line.split()[0]: line.split()[2:6] for line in call("models").out.splitlines()}
    assert listed["colours"][:3] == ["classify", "3", "classes"]
    assert listed["both"] == ["chain", "classify", "x2", "3"]
    (model,) = [model for model in call("models", "--json").document if model["name"] == "colours"]
    assert (model["task"], model["scale"], model["classes"]) == ("classify", None, 3)
