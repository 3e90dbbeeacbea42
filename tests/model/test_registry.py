from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgesr.errors import ModelError, UsageError
from edgesr.model import DEFAULT_MODEL, add, find, list_models, open_package, remove, write_package
from tests.model.samples import descriptor

INSTALLED = Path("edgesr") / "models"


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shipped models, ``built-in`` and ``other``, in place of the real ones."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr("edgesr.model.registry._SHIPPED", folder)
    for name in ("built-in", "other"):
        package(folder / f"{name}.edgesr", network, name=name)
    return folder


def package(path: Path, network: Path, **changes: object) -> Path:
    return write_package(
        path, descriptor(**{"name": "mine", "description": "a test", **changes}), {"network.onnx": network}
    )


def installed_folder() -> Path:
    return Path(os.environ["XDG_DATA_HOME"]) / INSTALLED


@pytest.mark.parametrize("source", ["mine.edgesr", "a.zip", "folder"])
def test_an_added_package_is_found_by_its_name(tmp_path: Path, network: Path, source: str) -> None:
    path = add(package(tmp_path / source, network))
    assert path == find("mine") == installed_folder() / "mine.edgesr"
    assert open_package(path).digest == open_package(tmp_path / source).digest
    assert [file.name for file in path.parent.iterdir()] == ["mine.edgesr"]


def test_models_are_listed_with_their_origin(tmp_path: Path, network: Path) -> None:
    path = add(package(tmp_path / "x.edgesr", network, version="2.1"))
    rows = [(model.name, model.origin, model.version, model.task, model.scale) for model in list_models()]
    assert rows == [
        ("built-in", "shipped", "1", "restore", 2),
        ("mine", "installed", "2.1", "restore", 2),
        ("other", "shipped", "1", "restore", 2),
    ]
    mine = list_models()[1]
    assert (mine.size, mine.path, mine.description, mine.problem) == (path.stat().st_size, path, "a test", "")


def test_a_damaged_model_does_not_hide_the_others(network: Path) -> None:
    installed_folder().mkdir(parents=True)
    (installed_folder() / "broken.edgesr").write_bytes(b"PK\x03\x04 half")
    (installed_folder() / "dir.edgesr").mkdir()
    (installed_folder() / "Not A Name.edgesr").write_bytes(b"")
    listed = {model.name: model.problem for model in list_models()}
    assert list(listed) == ["broken", "built-in", "dir", "other"]
    assert "is damaged or not a package" in listed["broken"]
    assert "has no model.json" in listed["dir"]
    assert listed["other"] == ""
    remove("broken")


def test_names_come_before_files_of_the_same_name(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch, shipped: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    package(tmp_path / "other", network)
    assert find("other") == shipped / "other.edgesr"
    assert find("./other") == Path("other")
    assert find(network) == network


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match=r"'oter': no such model or file; known models are built-in, other; did you mean"
    ):
        find("oter")
    with pytest.raises(
        ModelError, match=r"'nets/x.onnx': no such file; give a package, an ONNX file or one of built-in"
    ):
        find("nets/x.onnx")
    for name in ("", "x" * 5000, "a\0b", "../../nowhere/x"):
        with pytest.raises(ModelError):
            find(name)
    with pytest.raises(ModelError, match=r"'oter': no such model"):
        remove("oter")
    with pytest.raises(ModelError, match=r"no such model"):
        remove("../mine")


def test_a_name_is_taken_only_with_force(tmp_path: Path, network: Path, shipped: Path) -> None:
    mine = package(tmp_path / "x.edgesr", network, name="other", version="9")
    with pytest.raises(UsageError, match=r"a model named 'other' is shipped already; use --force"):
        add(mine)
    assert add(mine, force=True) == find("other") == installed_folder() / "other.edgesr"
    with pytest.raises(UsageError, match=r"a model named 'other' is installed already"):
        add(mine)
    assert {model.name: model.version for model in list_models()} == {"built-in": "1", "other": "9"}
    assert remove("other") == installed_folder() / "other.edgesr"
    assert find("other") == shipped / "other.edgesr"
    with pytest.raises(UsageError, match=r"'other' is shipped with edgesr and cannot be removed"):
        remove("other")


def test_a_damaged_package_is_not_installed(tmp_path: Path, network: Path) -> None:
    folder = package(tmp_path / "folder", network)
    (folder / "network.onnx").write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=rf"^{folder}: 'network.onnx' has sha256"):
        add(folder)
    assert not list(installed_folder().iterdir())


def test_a_bare_onnx_file_is_not_installed(network: Path) -> None:
    with pytest.raises(ModelError, match=r"make one of it with edgesr pack"):
        add(network)


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"file/edgesr/models/mine.edgesr: cannot be written: Not a directory"):
        add(package(tmp_path / "x.edgesr", network))
    assert [model.name for model in list_models()] == ["built-in", "other"]


def test_relative_xdg_folders_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(list_models()) == 2
    assert DEFAULT_MODEL == "cxr-x4"
