"""A task of any size behind a restoration: left to ONNX Runtime, or given the one size that TensorRT compiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.errors import BuildError, UsageError
from edgesr.model import ModelPackage, open_package, pack
from edgesr.model.chain import stages, write_chain
from edgesr.pipelines.label_profile import label_profile
from edgesr.pipelines.load import cpu_probe, load
from edgesr.pipelines.size_chain import sized_task
from tests import networks
from tests.pipelines.test_tensorrt import Machine, make_package, picture


@pytest.fixture
def both(tmp_path: Path) -> tuple[ModelPackage, ModelPackage]:
    """A restoration that enlarges twice, and a segmenter of pictures of any size."""
    network = networks.color_segmenter(tmp_path / "s.onnx")
    said = {"task": "segment", "input": {"mean": [0], "std": [1]}, "size": {"minimum": 4}}
    task = pack(network, tmp_path / "s.edgesr", name="s", version="1", overrides=said, probe=cpu_probe)
    return open_package(make_package(tmp_path, channels=3)), task


def test_a_sized_chain_runs_on_tensorrt_as_on_the_cpu(both, tmp_path, monkeypatch) -> None:
    machine = Machine("10.3.0", monkeypatch, tmp_path)
    restore, task = both
    chain = tmp_path / "chain.edgesr"
    write_chain(chain, restore, task, name="chain", version="1")
    with pytest.raises(BuildError, match=r"model s: .* has no fixed size, .* --resize exact:HxW, .* with --size HxW"):
        load(chain, "tensorrt")
    write_chain(chain, restore, sized_task(restore, task, (16, 24)), name="chain", version="1")
    image = picture(16, 24, 3)
    with load(chain, "tensorrt") as engines, load(chain, "cpu", threads=1) as cpu:
        found, expected = engines(image), cpu(image)
        np.testing.assert_array_equal(found.mask, expected.mask)
        assert found.mask.shape == (32, 48)
        assert engines(picture(20, 20, 3)).mask.shape == (40, 40)
    machine.fake.check()


def test_pictures_of_that_size_are_not_resized(both) -> None:
    restore, task = both
    sized = sized_task(restore, task, (16, 24))
    (shapes,) = label_profile(sized).values()
    assert shapes.best == (1, 3, 32, 48)
    assert sized.descriptor.parts == task.descriptor.parts


def test_a_task_with_a_size_of_its_own_keeps_it(both, tmp_path) -> None:
    restore, _ = both
    network = networks.color_classifier(tmp_path / "c.onnx", side=16)
    said = {"task": "classify", "input": {"mean": [0], "std": [1]}}
    task = pack(network, tmp_path / "c.edgesr", name="c", version="1", overrides=said, probe=cpu_probe)
    with pytest.raises(UsageError, match="model c brings every picture to 16x16 already, whatever tiny gives"):
        sized_task(restore, task, (8, 8))


def test_pack_gives_a_chain_its_size(both, tmp_path, capsys) -> None:
    restore, task = both
    words = ["pack", f"{restore.path}+{task.path}", "-o", str(tmp_path / "c.edgesr"), "--size"]
    assert main([*words, "1x1"]) == 2
    assert "--size 1x1, enlarged 2 times: a picture of 2 x 2 is too small for model s" in capsys.readouterr().err
    assert main([*words, "16x24"]) == 0
    second = stages(open_package(tmp_path / "c.edgesr"))[1].descriptor
    assert json.loads(second.to_json())["input"]["resize"] == {"rule": "exact", "size": [32, 48]}
