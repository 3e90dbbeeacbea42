from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgesr.errors import BackendError, ModelError, UsageError
from edgesr.model import SizeRequirements, describe_onnx, verify
from tests.model.samples import enlarge, info, probe, save, trained, with_external_data

F16, U8 = TensorProto.FLOAT16, TensorProto.UINT8


def test_shapes_alone_describe_a_simple_network(network: Path) -> None:
    package = describe_onnx(network)
    found = package.descriptor
    assert package.is_bare
    assert (found.name, found.version, found.task, found.scale) == ("enlarge", "0", "restore", 2)
    assert (found.input.layout, found.input.color, found.input.range) == ("NCHW", "y", (0.0, 1.0))
    assert (found.input_channels, found.output_channels, found.receptive_field) == (1, 1, None)
    assert found.parts["network"].inputs == {"image": "image"}
    assert found.parts["network"].outputs == {"image": "upscaled"}
    assert package.part_path("network") == network
    assert package.path == network
    assert package.read("network.onnx") == network.read_bytes()
    assert package.digest == found.parts["network"].sha256 == package.part_digest("network")
    verify(package)
    assert "the value range 0 .. 1 is assumed" in package.notes
    assert "the layout is NCHW" in package.notes
    assert "the scale 2 comes from the graph's shapes" in package.notes
    assert "the colour order is taken as y" in package.notes


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, 48])
@pytest.mark.parametrize("measured", [False, True], ids=["shapes", "probe"])
def test_layout_channels_scale_and_size_are_found(
    tmp_path: Path, layout: str, channels: int, size: int | None, measured: bool
) -> None:
    path = enlarge(tmp_path / "x.onnx", scale=3, channels=channels, layout=layout, size=size)
    found = describe_onnx(path, probe=probe if measured else None).descriptor
    assert found.scale == 3
    assert found.input.layout == layout
    assert (found.input_channels, found.output_channels) == (channels, channels)
    assert found.input.color == ("y" if channels == 1 else "rgb")
    assert found.size.fixed == (None if size is None else (48, 48))


def test_what_the_user_says_is_taken(network: Path) -> None:
    package = describe_onnx(network, range=(0, 255), color="grey", scale=2, layout="NCHW", name="mine", probe=probe)
    found = package.descriptor
    assert (found.name, found.input.color, found.input.range) == ("mine", "grey", (0.0, 255.0))
    assert found.output_range == (0.0, 255.0)
    assert not any("colour order" in note or "layout" in note for note in package.notes)


@pytest.mark.parametrize("value_range", [(0, 1), (0, 255), (-1, 1)], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_value_range_is_found_by_running_the_network(
    tmp_path: Path, value_range: tuple[float, float], seed: int
) -> None:
    package = describe_onnx(trained(tmp_path / "x.onnx", *value_range, seed=seed), probe=probe)
    assert package.descriptor.input.range == package.descriptor.output_range == value_range
    low, high = value_range
    assert any(f"the value range {low} .. {high}, output {low} .. {high}, was found" in note for note in package.notes)


@pytest.mark.parametrize(
    ("ending", "expected", "is_unsure"),
    [("Identity", (0, 1), True), ("Tanh", (-1, 1), False), ("Clip -1 1", (-1, 1), False), ("Clip 0 1", (0, 1), False)],
)
def test_a_network_that_follows_zero_to_one_and_minus_one_to_one_alike(
    tmp_path: Path, ending: str, expected: tuple[float, float], is_unsure: bool
) -> None:
    name, *limits = ending.split()
    weights = {"s": np.array([1, 1, 2, 2], np.float32)}
    weights |= {f"l{i}": np.array(value, np.float32) for i, value in enumerate(limits)}
    nodes = [
        helper.make_node("Resize", ["x", "", "s"], ["large"], mode="linear"),
        helper.make_node(name, ["large", *(f"l{i}" for i in range(len(limits)))], ["y"]),
    ]
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, "h", "w")], [info("y", 1, 1, "H", "W")], weights)
    package = describe_onnx(path, probe=probe)
    assert (package.descriptor.input.range, package.descriptor.output_range) == (expected, expected)
    assert any("trained on -1 .. 1 may look the same" in note for note in package.notes) == is_unsure


def test_input_and_output_may_have_different_ranges(tmp_path: Path) -> None:
    found = describe_onnx(trained(tmp_path / "x.onnx", 0, 255, out=(0, 1)), probe=probe).descriptor
    assert (found.input.range, found.output_range) == ((0.0, 255.0), (0.0, 1.0))
    given = describe_onnx(trained(tmp_path / "x.onnx", 0, 255, out=(-1, 1)), range=(0, 255), probe=probe).descriptor
    assert (given.input.range, given.output_range) == ((0.0, 255.0), (-1.0, 1.0))


def test_a_network_that_follows_no_range_asks_for_it(tmp_path: Path) -> None:
    path = save(
        tmp_path / "x.onnx",
        [helper.make_node("Sin", ["a"], ["y"]), helper.make_node("Mul", ["x", "k"], ["a"])][::-1],
        [info("x", 1, 1, "h", "w")],
        [info("y", 1, 1, "h", "w")],
        {"k": np.array([1000], np.float32)},
    )
    with pytest.raises(
        ModelError, match=r"x.onnx: its output follows the input in no known value range; give the range"
    ):
        describe_onnx(path, probe=probe)
    assert describe_onnx(path, probe=probe, range=(0, 1)).descriptor.input.range == (0.0, 1.0)


def test_a_network_that_takes_pictures_normalised_by_mean_and_deviation_asks_for_its_range(tmp_path: Path) -> None:
    """With 0.5 +- 0.25, values from -1 to 1 come out as 0.25 to 0.75: half of the contrast, near in every place."""
    nodes = [helper.make_node("Mul", ["x", "std"], ["a"]), helper.make_node("Add", ["a", "mean"], ["y"])]
    weights = {"mean": np.array([0.5], np.float32), "std": np.array([0.25], np.float32)}
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, "h", "w")], [info("y", 1, 1, "h", "w")], weights)
    with pytest.raises(
        ModelError, match=r"follows the input in no known value range.* a mean and a deviation.*--descriptor"
    ):
        describe_onnx(path, probe=probe)
    assert describe_onnx(path, range=(-1, 1), probe=probe).descriptor.output_range == (0, 1)


def test_the_picture_is_found_behind_an_output_of_features(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["x"] * 8, ["features"], axis=1),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    outputs = [info("features", 1, 8, "h", "w"), info("y", 1, 1, "h", "w")]
    package = describe_onnx(save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, "h", "w")], outputs, {}), probe=probe)
    assert package.descriptor.parts["network"].outputs["image"] == "y"
    assert "the picture is the output 'y', number 2 of 2" in package.notes


def test_a_network_that_changes_the_number_of_channels_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])]
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 3, "h", "w")], [info("y", 1, 1, "h", "w")], {})
    with pytest.raises(ModelError, match="maps 3 channels to the 1 of its output 'y'"):
        describe_onnx(path, probe=probe)


def test_a_network_that_draws_random_numbers_is_noted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["n"], scale=0.01),
        helper.make_node("Add", ["x", "n"], ["y"]),
    ]
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, "h", "w")], [info("y", 1, 1, "h", "w")], {})
    assert any("draws random numbers" in note for note in describe_onnx(path, probe=probe).notes)


@pytest.mark.parametrize("kind", [F16, U8], ids=["float16", "uint8"])
def test_other_dtypes_are_described(tmp_path: Path, kind: int) -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["float", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Cast", ["large"], ["upscaled"], to=kind),
    ]
    inputs, outputs = [info("image", 1, "h", "w", 3, kind=kind)], [info("upscaled", 1, "H", "W", 3, kind=kind)]
    path = save(tmp_path / "x.onnx", nodes, inputs, outputs, {"scales": np.array([1, 2, 2, 1], np.float32)})
    wanted = ("uint8", (0.0, 255.0)) if kind == U8 else ("float16", (0.0, 1.0))
    for opener in (None, probe):
        found = describe_onnx(path, probe=opener).descriptor
        assert (found.input.dtype, found.input.range) == wanted
        assert found.output_range == wanted[1]
        assert (found.scale, found.input.layout) == (2, "NHWC")


@pytest.mark.parametrize("multiple", [2, 4, 6, 8, 16])
def test_the_size_multiple_is_found_by_running(tmp_path: Path, multiple: int) -> None:
    path = enlarge(tmp_path / "x.onnx", multiple=multiple)
    assert describe_onnx(path, probe=probe).descriptor.size.multiple == multiple


def test_the_minimum_size_is_found_by_running(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["x", "twelfth"], ["row"], axis=2),
        helper.make_node("Mul", ["row", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    weights = {"twelfth": np.array([12]), "zero": np.zeros(1, np.float32)}
    path = save(tmp_path / "x.onnx", nodes, [info("x", 1, 1, "h", "w")], [info("y", 1, 1, "h", "w")], weights)
    assert describe_onnx(path, probe=probe).descriptor.size == SizeRequirements(multiple=1, minimum=16)


def test_small_vectors_become_controls(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "Fidelity Dial"], ["a"]),
        helper.make_node("ReduceSum", ["three"], ["s"]),
        helper.make_node("Add", ["a", "s"], ["b"]),
        helper.make_node("Add", ["b", "quantum"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["y"]),
    ]
    shape = (1, 1, "h", "w")
    inputs = [info("x", *shape), info("Fidelity Dial", 1), info("three", 3), info("quantum", 1)]
    path = save(tmp_path / "x.onnx", nodes, inputs, [info("y", *shape), info("s")], {})
    package = describe_onnx(path, probe=probe)
    found = package.descriptor
    assert found.parts["network"].inputs == {
        "image": "x",
        "fidelity-dial": "Fidelity Dial",
        "three": "three",
        "quantum": "quantum",
    }
    assert {name: control.default for name, control in found.controls.items()} == {
        "fidelity-dial": (0.0,),
        "three": (0.0, 0.0, 0.0),
    }
    assert "the input 'three' becomes the control 'three' with default 0" in package.notes
    assert "the picture is the output 'y', number 1 of 2" in package.notes


def test_external_weights_belong_to_the_description(tmp_path: Path) -> None:
    source = trained(tmp_path / "trained.onnx", 0, 1)
    path = with_external_data(source, tmp_path / "in" / "net.onnx", "net.onnx_data")
    package = describe_onnx(path, probe=probe)
    assert set(package.descriptor.files) == {"network-0.data"}
    assert package.part_path("network") == path
    assert package.part_digest("network") == package.digest != package.descriptor.parts["network"].sha256
    verify(package)
    data = path.with_name("net.onnx_data")
    os.utime(data, (1, 1))
    assert package.part_path("network") == path
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(ModelError, match=r"'network-0.data' has sha256"):
        package.part_path("network")


def picture(
    path: Path, shape: tuple[Any, ...], out: tuple[Any, ...] | None = None, *others: Any, kind: int = 1
) -> Path:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return save(path, nodes, [info("x", *shape, kind=kind), *others], [info("y", *(out or shape))], {})


@pytest.mark.parametrize(
    ("shape", "out", "message"),
    [
        ((1, 4, "h", "w"), None, "the input 'x' has 4 channels; edgesr runs 1 or 3"),
        ((1, "h", "w", 4), None, "the input 'x' has 4 channels"),
        ((1, 3, "h", 3), None, r"the shape \[1, 3, -1, 3\] does not tell where the channels are; give --layout"),
        (("a", "b", "c", "d"), None, "does not tell where the channels are; give --layout"),
        ((2, 3, "h", "w"), None, "takes 2 pictures at a time"),
        ((1, 3, 64, "w"), None, "only one of height 64 and width -1 is dynamic"),
        ((3, "h", "w"), None, "needs one input with 4 dimensions, the picture, got 'x'"),
        ((1, 3, 64, 64), (1, 3, 96, 96), "makes 96 x 96 of 64 x 64, which is not a whole scale"),
        ((1, 3, 64, 64), (1, 3, 128, 192), "is not a whole scale"),
        ((1, 3, 64, 64), (1, 3, 32, 32), "is not a whole scale"),
        ((1, 3, 64, 64), (1, 1000), "has no output that is a picture"),
    ],
    ids=range(11),
)
def test_other_networks_are_refused(tmp_path: Path, shape: Any, out: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        describe_onnx(picture(tmp_path / "x.onnx", shape, out))
    assert str(caught.value).startswith(str(tmp_path / "x.onnx"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (info("other", 1, 3, "h", "w"), "needs one input with 4 dimensions"),
        (info("other", "n"), r"the input 'other' float32 \[-1\] is neither a picture nor a short vector of floats"),
        (info("other", 1, kind=TensorProto.INT64), "the input 'other' int64"),
        (info("other", 5, 5), "is neither a picture nor a short vector"),
    ],
    ids=["picture", "dynamic", "integer", "matrix"],
)
def test_other_inputs_are_refused(tmp_path: Path, other: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        describe_onnx(picture(tmp_path / "x.onnx", (1, 3, "h", "w"), None, other))


def test_dynamic_channels_need_a_layout_and_a_colour(tmp_path: Path) -> None:
    path = picture(tmp_path / "x.onnx", ("n", "c", "h", "w"))
    with pytest.raises(ModelError, match=r"a dynamic number of channels; give the colour order"):
        describe_onnx(path, layout="NCHW")
    found = describe_onnx(path, layout="NCHW", color="bgr", scale=1).descriptor
    assert (found.input_channels, found.input.color) == (3, "bgr")


def test_a_scale_that_contradicts_the_network_is_refused(tmp_path: Path, network: Path) -> None:
    with pytest.raises(ModelError, match=r"its shapes give scale 2, not 4; leave out --scale"):
        describe_onnx(network, scale=4)
    path = data_dependent(tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=r"its shapes do not tell the scale; give it, e.g. --scale 4"):
        describe_onnx(path)
    assert describe_onnx(path, scale=7).descriptor.scale == 7
    with pytest.raises(ModelError, match=r"enlarges 2 times, not 7; leave out --scale"):
        describe_onnx(path, scale=7, probe=probe)
    assert "the scale 2 was measured" in describe_onnx(path, probe=probe).notes


def data_dependent(path: Path) -> Path:
    """Enlarge by a factor that shape inference cannot follow."""
    nodes = [
        helper.make_node("ReduceMax", ["zero"], ["m"], keepdims=0),
        helper.make_node("Add", ["scales", "m"], ["factors"]),
        helper.make_node("NonZero", ["factors"], ["places"]),
        helper.make_node("Gather", ["places", "first"], ["order"], axis=0),
        helper.make_node("Gather", ["factors", "order"], ["sorted"], axis=0),
        helper.make_node("Resize", ["x", "", "sorted"], ["y"], mode="nearest"),
    ]
    weights = {"zero": np.zeros(4, np.float32), "scales": np.array([1, 1, 2, 2], np.float32), "first": np.array(0)}
    return save(path, nodes, [info("x", 1, 1, "h", "w")], [info("y", 1, 1, "H", "W")], weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"range": (1, 0)}, "range must be two numbers, low before high"),
        ({"range": (0, 1, 2)}, "range must be"),
        ({"range": "ab"}, "range must be"),
        ({"range": 5}, "range must be"),
        ({"range": (0, float("nan"))}, "range must be"),
        ({"color": "red"}, "color must be one of grey, y, rgb, bgr, got 'red'"),
        ({"scale": 0}, "scale must be a whole number from 1 to 64, got 0"),
        ({"scale": 2.5}, "scale must be"),
        ({"layout": "HWC"}, "layout must be NCHW or NHWC, got 'HWC'"),
        ({"name": "A B"}, "name must be 1 to 64"),
    ],
)
def test_wrong_arguments_are_usage_errors(network: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        describe_onnx(network, **arguments)


def test_a_colour_that_does_not_fit_the_channels_is_refused(network: Path) -> None:
    with pytest.raises(ModelError, match=r"input.color: 'rgb' needs input_channels 3 or 4, got 1"):
        describe_onnx(network, color="rgb")


def test_a_network_that_does_not_load_is_refused(network: Path) -> None:
    def broken(path: Path) -> Any:
        raise RuntimeError("no such\noperator")

    def without_library(path: Path) -> Any:
        raise BackendError("onnxruntime is missing")

    with pytest.raises(ModelError, match=r"enlarge.onnx: does not load: no such operator"):
        describe_onnx(network, probe=broken)
    with pytest.raises(BackendError, match=r"onnxruntime is missing"):
        describe_onnx(network, probe=without_library)


def test_a_network_that_never_runs_is_refused(network: Path) -> None:
    def failing(path: Path) -> Any:
        def run(feeds: Any) -> Any:
            raise RuntimeError("out of\nmemory")

        return run

    with pytest.raises(ModelError, match=r"fails on every picture size that was tried: out of memory"):
        describe_onnx(network, probe=failing)


@pytest.mark.parametrize("stem", ["Real ESRGAN x4+", "超解像", ".._", "x" * 200])
def test_any_file_name_gives_a_valid_model_name(tmp_path: Path, network: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.onnx"
    path.write_bytes(network.read_bytes())
    names = {"Real ESRGAN x4+": "real-esrgan-x4", "超解像": "model", ".._": "model", "x" * 200: "x" * 64}
    assert describe_onnx(path).descriptor.name == names[stem]


def test_measurements_are_remembered_for_the_next_process(tmp_path: Path) -> None:
    path = trained(tmp_path / "x.onnx", 0, 255)
    opened = []

    def counting(path: Path) -> Any:
        opened.append(path)
        return probe(path)

    first = describe_onnx(path, probe=counting)
    again = describe_onnx(path, probe=counting)
    assert (again.descriptor, again.notes, again.digest) == (first.descriptor, first.notes, first.digest)
    assert len(opened) == 1
    describe_onnx(path, probe=counting, range=(0, 255))
    assert len(opened) == 2
    for file in Path(os.environ["XDG_CACHE_HOME"], "edgesr", "described").iterdir():
        file.write_text('{"descriptor": "{}", "notes": []}')
    assert describe_onnx(path, probe=counting).descriptor == first.descriptor
    assert len(opened) == 3


def test_measuring_needs_no_cache(tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert describe_onnx(network, probe=probe).descriptor.scale == 2


def test_tiny_pictures_are_tried_only_where_that_is_safe(tmp_path: Path) -> None:
    """ONNX Runtime kills the process when a pooling window is larger than its input, so this must not run."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["m"], kernel_shape=[7, 7], strides=[3, 3]),
        helper.make_node("GlobalMaxPool", ["m"], ["g"]),
        helper.make_node("Mul", ["g", "zero"], ["n"]),
        helper.make_node("Add", ["x", "n"], ["y"]),
    ]
    path = save(
        tmp_path / "x.onnx",
        nodes,
        [info("x", 1, 1, "h", "w")],
        [info("y", 1, 1, "h", "w")],
        {"zero": np.zeros(1, np.float32)},
    )
    sides: list[int] = []

    def watching(path: Path) -> Any:
        run = probe(path)

        def watched(feeds: Any) -> Any:
            sides.append(feeds["x"].shape[2])
            return run(feeds)

        return watched

    assert describe_onnx(path, probe=watching).descriptor.size.minimum == 8
    assert min(sides) == 8
