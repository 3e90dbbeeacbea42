from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgesr.errors import ModelError
from edgesr.model import inspect_onnx
from edgesr.model.onnx_file import inferred_output, read_graph, with_weights_inside
from tests.model.samples import claiming_data_at, enlarge, info, probe, save, trained, with_external_data


def relu(path: Path, inputs: list[Any], outputs: list[Any], **kind: Any) -> Path:
    return save(path, [helper.make_node("Relu", ["x"], ["y"])], inputs, outputs, {}, **kind)


def test_inspect_says_what_is_in_the_file(tmp_path: Path) -> None:
    found = inspect_onnx(trained(tmp_path / "trained.onnx", 0, 1))
    assert found["file"] == "trained.onnx"
    assert found["bytes"] == (tmp_path / "trained.onnx").stat().st_size
    assert (found["ir_version"], found["opset"], found["nodes"]) == (8, {"ai.onnx": 17}, 4)
    assert found["operators"] == {"Conv": 2, "DepthToSpace": 1, "Relu": 1}
    assert found["parameters"] == 48 * 9 + 48 + 48 * 4 + 4
    assert found["inputs"] == [{"name": "image", "dtype": "float32", "shape": [-1, 1, -1, -1]}]
    assert found["outputs"] == [{"name": "upscaled", "dtype": "float32", "shape": [-1, 1, -1, -1]}]
    assert found["external_data"] == {}


def test_inspect_counts_subgraphs_and_names_external_data(tmp_path: Path) -> None:
    source = trained(tmp_path / "trained.onnx", 0, 1)
    path = with_external_data(source, tmp_path / "external.onnx", "weights.bin")
    assert inspect_onnx(path)["external_data"] == {"weights.bin": (tmp_path / "weights.bin").stat().st_size}
    branch = helper.make_graph([helper.make_node("Abs", ["x"], ["a"])], "then", [], [info("a", 1, 1, 2, 2)])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "else", [], [info("b", 1, 1, 2, 2)])
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=other)]
    shape = (1, 1, 2, 2)
    path = save(tmp_path / "if.onnx", nodes, [info("x", *shape)], [info("y", *shape)], {"c": np.array([True])})
    assert inspect_onnx(path)["operators"] == {"Abs": 1, "If": 1, "Neg": 1}


def test_old_files_list_their_weights_as_inputs(tmp_path: Path) -> None:
    path = tmp_path / "old.onnx"
    nodes = [helper.make_node("Mul", ["x", "gain"], ["y"])]
    inputs = [info("x", 1, 1, "h", "w"), info("gain", 1)]
    save(path, nodes, inputs, [info("y", 1, 1, "h", "w")], {"gain": np.ones(1, np.float32)}, ir_version=3, opset=9)
    assert [tensor.name for tensor in read_graph(path).inputs] == ["x"]
    assert inspect_onnx(path)["opset"] == {"ai.onnx": 9}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an ONNX model"),
        (b"\x89PNG\r\n\x1a\n", "is truncated or not an ONNX file"),
        (b"PK\x03\x04", "is truncated or not an ONNX file"),
        (b"\x08\x08", "is not an ONNX model"),
        (b"hello", "is truncated or not an ONNX file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    for look in (read_graph, inspect_onnx):
        with pytest.raises(ModelError, match=message):
            look(path)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, kept: float) -> None:
    path = trained(tmp_path / "x.onnx", 0, 1)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ModelError, match=r"is truncated or not an ONNX|is not an ONNX|has no|is empty"):
        read_graph(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"x.onnx: cannot be read: No such file"):
        read_graph(tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=r"cannot be read: Is a directory"):
        read_graph(tmp_path)


def test_files_beyond_protobufs_limit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as stream:
        stream.truncate((1 << 31) + 1)
    with pytest.raises(ModelError, match=r"has 2147483649 bytes, more than the 2 GiB"):
        read_graph(path)


def test_an_empty_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the graph is empty"):
        read_graph(save(tmp_path / "x.onnx", [], [], [], {}))


def test_a_graph_without_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the graph has no input"):
        read_graph(relu(tmp_path / "x.onnx", [], [info("y", 1)]))


@pytest.mark.parametrize("side", [0, 65537, 1 << 40])
def test_impossible_sizes_are_refused(tmp_path: Path, side: int) -> None:
    shape = (1, 3, side, 64)
    with pytest.raises(ModelError, match=r"'x' has the impossible shape"):
        read_graph(relu(tmp_path / "x.onnx", [info("x", *shape)], [info("y", *shape)]))


def test_custom_operators_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Deform", ["x"], ["y"], domain="mmcv")]
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, 8, 8)], [info("y", 1, 1, 8, 8)], {})
    with pytest.raises(ModelError, match=r"the operator 'mmcv.Deform' is a custom one"):
        read_graph(path)


def test_operators_of_onnx_runtime_are_noted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, 8, 8)], [info("y", 1, 1, 8, 8)], {})
    assert read_graph(path).foreign == ("com.microsoft.Gelu",)


def test_functions_of_the_model_itself_are_no_custom_operators(tmp_path: Path) -> None:
    opset = helper.make_opsetid("", 17)
    body = helper.make_function("mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [opset])
    nodes = [helper.make_node("Twice", ["x"], ["y"], domain="mine")]
    graph = helper.make_graph(nodes, "g", [info("x", 1, 1, 8, 8)], [info("y", 1, 1, 8, 8)])
    onnx.save(
        helper.make_model(graph, functions=[body], opset_imports=[opset, helper.make_opsetid("mine", 1)]),
        tmp_path / "x.onnx",
    )
    assert read_graph(tmp_path / "x.onnx").foreign == ()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/etc/hostname", "which is not beside it"),
        ("../secret.bin", "which is not beside it"),
        ("a/../../secret.bin", "which is not beside it"),
        ("link.bin", "which is not beside it"),
        ("C:\\weights.bin", "which is not beside it"),
        ("", "which is not beside it"),
        ("missing.bin", "its weights 'missing.bin' are missing; put that file beside it"),
    ],
)
def test_weights_elsewhere_are_refused(tmp_path: Path, network: Path, location: str, message: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(100))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = claiming_data_at(tmp_path / "in" / "x.onnx", network, location)
    for look in (read_graph, inspect_onnx, with_weights_inside):
        with pytest.raises(ModelError, match=message):
            look(path)


def test_external_weights_can_be_moved_inside(tmp_path: Path) -> None:
    source = trained(tmp_path / "trained.onnx", 0, 1)
    assert with_weights_inside(source) == source
    path = with_external_data(source, tmp_path / "external.onnx", "weights.bin")
    content = with_weights_inside(path)
    assert isinstance(content, bytes)
    (tmp_path / "inside.onnx").write_bytes(content)
    feeds = {"image": np.ones((1, 1, 8, 8), np.float32)}
    inside, outside = (probe(tmp_path / name)(feeds)["upscaled"] for name in ("inside.onnx", "trained.onnx"))
    np.testing.assert_array_equal(inside, outside)
    assert read_graph(tmp_path / "inside.onnx").data_files == ()
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"its external weights cannot be read|is truncated"):
        with_weights_inside(path)


def test_shapes_are_inferred_where_the_graph_allows(tmp_path: Path) -> None:
    path = trained(tmp_path / "trained.onnx", 0, 1)
    assert inferred_output(path, {"image": (1, 1, 20, 30)}, "upscaled") == (1, 1, 40, 60)
    path = enlarge(tmp_path / "nhwc.onnx", layout="NHWC", channels=3)
    assert inferred_output(path, {"image": (1, 20, 30, 3)}, "upscaled") == (1, 40, 60, 3)
    assert inferred_output(path, {"image": (1, 20, 30, 3)}, "nothing") is None


def test_other_dtypes_are_named(tmp_path: Path) -> None:
    shape = (1, 1, 4, 4)
    for kind, name in ((TensorProto.FLOAT16, "float16"), (TensorProto.UINT8, "uint8"), (TensorProto.DOUBLE, "float64")):
        path = relu(tmp_path / f"{name}.onnx", [info("x", *shape, kind=kind)], [info("y", *shape, kind=kind)])
        assert read_graph(path).inputs[0].dtype == name
