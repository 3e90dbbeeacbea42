"""What a file given as weights is, told by its content."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from edgesr.errors import ModelError, UsageError  # noqa: E402
from export.exporting.files import read_content  # noqa: E402

STATE = {"0.weight": torch.ones(4, 3, 3, 3), "0.bias": torch.zeros(4)}


def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save(STATE, stream)
    return stream.getvalue()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name in names:
            target.writestr(name, b"x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pth", b"", "is empty; copy or download it again"),
        ("w.pth", b"PK\x03\x04 cut", "is a checkpoint that was cut off; copy or download it again"),
        ("w.pth", checkpoint()[:-100], "is a checkpoint that was cut off"),
        ("w.pth", b"hello", "is neither a checkpoint of PyTorch nor a safetensors file"),
        ("w.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer.*git lfs pull"),
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        ("w.pth", b"\n<!DOCTYPE html><html>Sign in", "is a web page, not weights; download the file itself"),
        ("w.safetensors", b"<html>", "is a web page"),
        ("w.onnx", b"anything", "is an ONNX graph, not weights; make a package of it with edgesr pack"),
        ("w.pth", archive("model.json", "network.onnx"), "is a model package already"),
        ("w.pth", archive("pictures/a.png"), "is an archive without weights of PyTorch"),
        ("w.safetensors", b"\xff" * 40, "is no safetensors file, or one that was cut off"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value)[:30],
)
def test_what_is_no_file_of_weights_is_named(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        read_content(tmp_path / name)


def test_an_onnx_graph_is_known_by_its_content(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = [onnx.helper.make_tensor_value_info(n, 1, [1, 3, 8, 8]) for n in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph, producer_name="somebody"), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="is an ONNX graph"):
        read_content(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(ModelError, match=r"script\.pt: is a TorchScript archive, .* save the weights alone"):
        read_content(tmp_path / "script.pt")


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(STATE, tmp_path / "w.pth")
    (tmp_path / "w.safetensors").write_bytes(checkpoint())
    for name in ("w.pth", "w.safetensors"):
        assert torch.equal(read_content(tmp_path / name)["0.weight"], STATE["0.weight"])
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="it was cut off, copy or download it again"):
        read_content(tmp_path / "cut.safetensors")


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    places = {}
    for i, (name, tensor) in enumerate(STATE.items(), 1):
        places[name] = f"net-0000{i}-of-00002.safetensors"
        safetensors.save_file({name: tensor}, tmp_path / places[name])
    index = tmp_path / "net.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), "utf-8")
    assert read_content(index).keys() == STATE.keys()
    with pytest.raises(ModelError, match=r"is one of 2 files of these weights; give net\.safetensors\.index\.json"):
        read_content(tmp_path / places["0.bias"])
    with pytest.raises(UsageError, match=r"is a folder; name the file in it .*net\.safetensors\.index\.json"):
        read_content(tmp_path)
    (tmp_path / places["0.bias"]).unlink()
    with pytest.raises(ModelError, match=r"needs net-00002-of-00002\.safetensors beside it, which is missing"):
        read_content(index)
    for wrong in ({"weight_map": {"a": "../w.safetensors"}}, {"weight_map": 3}, []):
        index.write_text(json.dumps(wrong), "utf-8")
        with pytest.raises(ModelError, match=r"is no name of a file beside it|has no weight_map"):
            read_content(index)
