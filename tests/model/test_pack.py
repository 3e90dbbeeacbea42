from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgesr.errors import ModelError, UsageError
from edgesr.model import open_package, pack, verify
from tests.model.samples import info, probe, save, trained, with_external_data

PNG = b"\x89PNG\r\n\x1a\n and more"


@pytest.mark.parametrize("name", ["mine.edgesr", "mine"])
def test_a_bare_onnx_file_becomes_a_package(tmp_path: Path, network: Path, name: str) -> None:
    package = pack(network, tmp_path / name, name="mine", version="1.2", probe=probe)
    assert not package.is_bare
    assert "the scale 2 comes from the graph's shapes" in package.notes
    again = open_package(tmp_path / name)
    verify(again)
    assert again.digest == package.digest
    assert (again.descriptor.name, again.descriptor.version, again.descriptor.scale) == ("mine", "1.2", 2)
    assert again.descriptor.receptive_field == 0
    assert again.descriptor.description == ""
    assert again.part_path("network").read_bytes() == network.read_bytes()


def test_what_the_maker_says_is_merged_with_what_is_found(tmp_path: Path, network: Path) -> None:
    overrides = {
        "input": {"range": (0, 255), "color": "grey"},
        "output_range": [0, 255],
        "size": {"multiple": 2},
        "licence": "CC0-1.0",
        "receptive_field": 3,
        "quality": [{"psnr": 30}],
    }
    found = pack(network, tmp_path / "x.edgesr", name="x", version="1", overrides=overrides, probe=probe).descriptor
    assert (found.input.range, found.input.color, found.input.layout) == ((0.0, 255.0), "grey", "NCHW")
    assert (found.size.multiple, found.licence, found.receptive_field) == (2, "CC0-1.0", 3)
    expects = {"range": (0, 255), "color": None, "scale": 2}
    found = pack(network, tmp_path / "x.edgesr", name="x", version="1", expects=expects).descriptor
    assert (found.input.range, found.input.color) == ((0.0, 255.0), "y")


def test_golden_and_further_files_are_taken_in(tmp_path: Path, network: Path) -> None:
    for name in ("in.PNG", "out.PNG"):
        (tmp_path / name).write_bytes(PNG)
    package = pack(
        network,
        tmp_path / "x.edgesr",
        name="x",
        version="1",
        golden={"input": tmp_path / "in.PNG", "output": tmp_path / "out.PNG"},
        files={"LICENSE.txt": b"free"},
    )
    assert package.descriptor.golden == {"input": "golden/input.png", "output": "golden/output.png"}
    assert package.read("golden/input.png") == PNG
    assert package.read("LICENSE.txt") == b"free"


def test_external_weights_move_into_the_package(tmp_path: Path) -> None:
    path = with_external_data(trained(tmp_path / "t.onnx", 0, 1), tmp_path / "in" / "n.onnx", "weights.bin")
    package = pack(path, tmp_path / "x.edgesr", name="x", version="1", probe=probe)
    assert package.descriptor.files == {}
    assert package.part_digest("network") == package.descriptor.parts["network"].sha256
    run = probe(package.part_path("network"))
    assert run({"image": np.ones((1, 1, 8, 8), np.float32)})["upscaled"].shape == (1, 1, 16, 16)


def test_other_tasks_are_described_by_their_maker(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["y"])]
    path = save(tmp_path / "c.onnx", nodes, [info("x", 1, 3, 32, 32)], [info("y", 1, 3, 1, 1)], {})
    part = {"inputs": {"image": "x"}, "outputs": {"logits": "y"}}
    overrides = {"task": "classify", "labels": ["a", "b", "c"], "parts": {"network": part}}
    found = pack(path, tmp_path / "c.edgesr", name="c", version="1", overrides=overrides).descriptor
    assert (found.task, found.labels) == ("classify", ("a", "b", "c"))
    assert found.parts["network"].outputs == {"logits": "y"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "A"}, UsageError, "the descriptor fields do not fit: name: must be 1 to 64"),
        ({"version": ""}, UsageError, "the descriptor fields do not fit: version: "),
        ({"overrides": {"scal": 4}}, UsageError, r"unknown key 'scal'; did you mean 'scale'\?"),
        ({"overrides": {"input": {"range": 255}}}, UsageError, "input.range: must be a list, got 255"),
        ({"overrides": {"schema": 99}}, UsageError, "schema: is 1 here, got 99; leave it out"),
        ({"overrides": {"name": "y"}}, UsageError, "name: is 'x' here, got 'y'; leave it out"),
        ({"overrides": {"input": 5}}, UsageError, "input: must be an object"),
        ({"overrides": {"tile": {1, 2}}}, UsageError, "not plain JSON data"),
        ({"overrides": [1]}, UsageError, "must be a JSON object"),
        ({"expects": {"range": "big"}}, UsageError, "input.range: must be a list"),
        ({"overrides": {"scale": 4}}, ModelError, "its shapes give scale 2, not 4"),
        ({"overrides": {"golden": {"input": "a.png"}}}, ModelError, "golden.input: 'a.png' is not declared in files"),
        ({"golden": {"input": Path("/nowhere.png")}}, ModelError, "nowhere.png: cannot be read: No such file"),
        ({"golden": {"input": Path("/nowhere")}}, ModelError, "must be a relative path"),
        ({"files": {"evil.pkl": b""}}, ModelError, "every key must be a relative path"),
        ({"overrides": {"parts": {"more": {"file": "more.onnx", "sha256": "0" * 64}}}}, ModelError, "no content given"),
    ],
    ids=range(16),
)
def test_wrong_wishes_are_refused(
    tmp_path: Path, network: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pack(network, tmp_path / "x.edgesr", **{"name": "x", "version": "1", **arguments})
    assert not (tmp_path / "x.edgesr").exists()
