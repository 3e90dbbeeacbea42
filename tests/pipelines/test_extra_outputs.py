"""What a network gives beside the picture: in results and in files, whole and in tiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgesr.cli import main
from edgesr.errors import UsageError
from edgesr.image import Picture, read, write
from edgesr.model import ModelDescriptor, Part, Preprocessing, open_package, write_package
from edgesr.pipelines.load import load
from tests import networks


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that doubles a picture and tells, beside it, four times the picture and its negative."""
    weights = {"scales": np.array([1, 1, 2, 2], np.float32), "four": np.array(4, np.float32)}
    nodes = [
        helper.make_node("Resize", ["image", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("ReduceMean", ["large"], ["grey"], axes=[1]),
        helper.make_node("Mul", ["grey", "four"], ["strong"]),
        helper.make_node("Neg", ["strong"], ["weak"]),
        helper.make_node("Concat", ["weak", "strong"], ["parts"], axis=1),
        helper.make_node("Identity", ["grey"], ["depth"]),
    ]
    names = {"large": 3, "parts": 2, "depth": 1}
    outputs = [networks.tensor(name, 1, count, "H", "W") for name, count in names.items()]
    path = networks.save(tmp_path / "n.onnx", nodes, [networks.tensor("image", 1, 3, "h", "w")], outputs, weights)
    roles = {"image": "large", "parsing": "parts", "depth": "depth"}
    descriptor = ModelDescriptor(
        name="both",
        version="1.0.0",
        task="restore",
        parts={"network": Part("n.onnx", "", {"image": "image"}, roles)},
        scale=2,
        input=Preprocessing(),
        receptive_field=0,
    )
    return write_package(tmp_path / "both.edgesr", descriptor, {"n.onnx": path})


def photo(h: int = 20, w: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (h, w, 3), np.uint8)


@pytest.mark.parametrize("tile", [None, 26])
def test_further_outputs_come_in_their_own_range_whole_and_in_tiles(model, tile):
    image = photo(40, 50)
    with load(model, "cpu", tile=tile) as up:
        assert up.extra_outputs == ("parsing", "depth")
        plain, result = up.restore(image), up.restore(image, extra_outputs=True)
    assert plain.extra == {}
    np.testing.assert_array_equal(result.image, plain.image)
    grey = (image / 255).mean(2).repeat(2, 0).repeat(2, 1)[..., None]
    np.testing.assert_allclose(result.extra["parsing"], np.concatenate([-4 * grey, 4 * grey], 2), atol=1e-5)
    np.testing.assert_allclose(result.extra["depth"], grey, atol=1e-6)


def test_grey_transparent_and_flipped_pictures_give_them_too(model):
    grey = photo()[..., :1]
    with load(model, "cpu") as up, load(model, "cpu", tta=True) as flipped:
        for image in (grey, np.concatenate([grey, grey[::-1]], 2)):
            for pipeline in (up, flipped):
                found = pipeline.restore(image, extra_outputs=True)
                assert found.image.shape == (40, 60, image.shape[2])
                np.testing.assert_allclose(found.extra["depth"], (grey / 255).repeat(2, 0).repeat(2, 1), atol=1e-6)


def test_files_beside_the_picture_hold_numbers_and_something_to_look_at(model, tmp_path, capsys):
    write(tmp_path / "a.png", Picture((photo(),)))
    words = ["run", str(tmp_path / "a.png"), "-m", str(model), "-o", str(tmp_path / "out.png"), "--extra-outputs"]
    assert main([*words, "--device", "cpu", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["results"]
    assert record["extra_outputs"]["parsing"] == [str(tmp_path / f"out_parsing{end}") for end in (".npy", ".png")]
    assert np.load(tmp_path / "out_parsing.npy").shape == (40, 60, 2)
    assert (read(tmp_path / "out_parsing.png").frames[0] == 1).all()
    depth = read(tmp_path / "out_depth.png").frames[0]
    np.testing.assert_allclose(depth / 65535, np.load(tmp_path / "out_depth.npy"), atol=1e-5)
    assert main([*words, "--device", "cpu"]) == 0
    assert "parsing in" in capsys.readouterr().err


def test_a_folder_resumes_and_never_takes_further_outputs_for_inputs(model, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write(folder / "a.png", Picture((photo(),)))
    words = ["run", str(folder), "-o", str(folder), "-m", str(model), "--extra-outputs", "--device", "cpu", "--json"]
    statuses = []
    for _ in range(2):
        assert main(words) == 0
        statuses.append([record["status"] for record in json.loads(capsys.readouterr().out)["results"]])
    assert statuses == [["done"], ["skipped"]]
    (folder / "a_x2_depth.npy").unlink()
    assert main(words) == 0
    assert [record["status"] for record in json.loads(capsys.readouterr().out)["results"]] == ["done"]


def test_models_without_further_outputs_and_pictures_of_many_frames_are_refused(model, tmp_path, capsys):
    write(tmp_path / "a.png", Picture((photo(),)))
    write(tmp_path / "two.tif", Picture((photo(), photo())))
    assert main(["run", str(tmp_path / "a.png"), "-m", "cxr-x4-fast", "--extra-outputs"]) == 2
    assert "cxr-x4-fast has no outputs beside the picture" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "two.tif"), "-m", str(model), "--extra-outputs", "--device", "cpu"]) == 6
    assert "has 2 frames; --extra-outputs takes pictures of one" in capsys.readouterr().err
    with load("cxr-x4-fast", "cpu") as up, pytest.raises(UsageError, match="no outputs beside"):
        up.restore(photo(), extra_outputs=True)
    assert open_package(model).descriptor.parts["network"].outputs["parsing"] == "parts"
