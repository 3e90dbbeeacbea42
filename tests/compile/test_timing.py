from __future__ import annotations

import numpy as np
import pytest

from edgesr.compile.graph import Graph
from edgesr.compile.timing import fold_time
from edgesr.compile.trial import find_sizes
from edgesr.errors import ModelError
from tests.compile import denoisers
from tests.compile.denoisers import node, save, tensor

TIMES = np.array([50.0, 33.0, 16.0])


def network(path, nodes, weights, batch="n"):
    inputs = [tensor("x", batch, 1, "h", "w"), tensor("t", 1)]
    return Graph.read(save(path / "n.onnx", nodes, inputs, [tensor("y", batch, 1, "h", "w")], weights))


def test_what_depends_on_the_timestep_alone_is_tabled_at_its_last_use(tmp_path):
    graph = denoisers.denoiser(tmp_path)
    tables = fold_time(graph, "timestep", TIMES, find_sizes(graph))
    (name,) = tables.values
    assert name == "planes"
    assert tables.values[name].shape == (3, 1, 8, 1, 1)
    weights = {key: graph.array(key) for key in ("rates", "embed")}
    expected = np.sin(TIMES[:, None] * weights["rates"]) @ weights["embed"]
    assert np.abs(tables.values[name][:, 0, :, 0, 0] - expected).max() < 1e-5
    assert tables.folded == 8


def test_a_timestep_that_meets_the_picture_at_once_is_tabled_itself(tmp_path):
    graph = network(tmp_path, [node("Mul", ["x", "t"], ["y"])], {})
    tables = fold_time(graph, "t", TIMES, find_sizes(graph))
    assert tables.values["t"].tolist() == [[50], [33], [16]]
    assert tables.folded == 0


def test_a_tensor_that_changes_with_the_size_of_the_picture_is_not_tabled(tmp_path):
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Cast", ["sizes"], ["numbers"], to=1),
        node("ReduceMax", ["numbers"], ["largest"], keepdims=0),
        node("Mul", ["t", "largest"], ["scaled"]),
        node("Mul", ["x", "scaled"], ["y"]),
    ]
    graph = network(tmp_path, nodes, {})
    with pytest.raises(ModelError, match="'scaled' depends on the timestep and on the picture's size; do not fold it"):
        fold_time(graph, "t", TIMES, find_sizes(graph))


def test_a_tensor_made_for_every_picture_is_tabled_for_a_fixed_batch_alone(tmp_path):
    """Concat, unlike a sum, does not repeat one picture's value for a batch."""
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Slice", ["sizes", "start", "end"], ["batch"]),
        node("Concat", ["batch", "ones"], ["wanted"], axis=0),
        node("Expand", ["t", "wanted"], ["plane"]),
        node("GlobalAveragePool", ["x"], ["mean"]),
        node("Concat", ["plane", "mean"], ["both"], axis=1),
        node("Conv", ["both", "w"], ["level"]),
        node("Mul", ["x", "level"], ["y"]),
    ]
    weights = {"start": np.array([0], np.int64), "end": np.array([1], np.int64), "ones": np.ones(3, np.int64),
               "w": np.ones((1, 2, 1, 1), np.float32)}  # fmt: skip
    single = network(tmp_path, nodes, weights, batch=1)
    assert fold_time(single, "t", TIMES, find_sizes(single)).values["plane"].ravel().tolist() == TIMES.tolist()
    many = network(tmp_path, nodes, weights)
    with pytest.raises(ModelError, match="'plane' is made once for every picture of a batch; export the network with"):
        fold_time(many, "t", TIMES, find_sizes(many))
