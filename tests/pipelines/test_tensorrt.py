"""Pictures through TensorRT: compiled in a child process, cached, loaded and run, on the doubles of all versions."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from PIL import Image

import edgesr.engines
from edgesr.cli import main
from edgesr.compile.engine_cache import EngineCache
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_engine import TrtEngine
from edgesr.errors import BackendError, BuildError, UsageError
from edgesr.model import ModelDescriptor, Part, Preprocessing, SizeRequirements, pack, write_package
from edgesr.pipelines.load import cpu_probe, load
from edgesr.pipelines.network import Workspace
from edgesr.pipelines.tilesize import tiles_for
from tests import networks
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt
from tests.fakes.trt_module import site_folder

ON_CPU = ("onnxruntime:cpu", "auto:cpu")
"""What ``auto`` opens without a GPU: ONNX Runtime, or the faster of it and OpenVINO where that is installed."""


@pytest.fixture
def package(tmp_path):
    return make_package(tmp_path)


def make_package(folder, *, channels=1, layout="NCHW", multiple=1, size=None, minimum=1):
    path = networks.convolution_x(folder / "n.onnx", channels=channels, layout=layout, size=size)
    descriptor = ModelDescriptor(
        name="tiny",
        version="1.0.0",
        task="restore",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
        scale=2,
        input_channels=channels,
        output_channels=channels,
        input=Preprocessing(color="grey" if channels == 1 else "rgb", layout=layout),
        size=SizeRequirements(minimum=minimum, multiple=multiple, fixed=(size, size) if size else None),
        receptive_field=3,
    )
    return write_package(folder / f"tiny{len(list(folder.iterdir()))}.edgesr", descriptor, {"network.onnx": path})


class Machine:
    """A machine with TensorRT and a GPU, here and in child processes."""

    def __init__(self, version, monkeypatch, folder, *gpus):
        self.fake = FakeCudart(*gpus)
        self.double = Tensorrt(version, self.fake)
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(edgesr.engines, "_tensorrt", self.open)
        monkeypatch.setenv("PYTHONPATH", str(site_folder(folder / "site")))
        monkeypatch.setenv("DOUBLE_TENSORRT_VERSION", version)

    def open(self, device="tensorrt"):
        return TrtBackend(
            device, tensorrt=TensorRt(self.double.module), cuda=CudaRuntime(self.fake, "fake"), overlap=True
        )

    def fail(self, **faults):
        self.monkeypatch.setenv("DOUBLE_TENSORRT_FAULTS", json.dumps(faults))


@pytest.fixture(params=VERSIONS)
def machine(request, monkeypatch, tmp_path):
    made = Machine(request.param, monkeypatch, tmp_path)
    yield made
    made.fake.check()


@pytest.fixture
def one_machine(monkeypatch, tmp_path):
    """A machine for what does not depend on the version."""
    made = Machine("10.3.0", monkeypatch, tmp_path)
    yield made
    made.fake.check()


def picture(h=70, w=90, c=None, seed=0):
    shape = (h, w) if c is None else (h, w, c)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_edgesr_run_on_tensorrt_equals_the_cpu_bit_for_bit(machine, package, tmp_path, capsys):
    Image.fromarray(picture()).save(tmp_path / "in.png")
    outputs = {}
    for device in ("cpu", "tensorrt", "auto"):
        target = tmp_path / f"{device}.png"
        words = ["run", tmp_path / "in.png", "-m", package, "-o", target, "--device", device, "--tile", 48]
        assert main([*map(str, words), "--threads", "1", "--json"]) == 0
        shown = capsys.readouterr()
        said = json.loads(shown.out)
        assert said["device"] == ("onnxruntime:cpu" if device == "cpu" else "tensorrt:0")
        assert ("builds the TensorRT engine of tiny" in shown.err) == (device == "tensorrt")
        outputs[device] = target.read_bytes()
    assert outputs["tensorrt"] == outputs["cpu"]
    assert outputs["auto"] == outputs["cpu"]
    (entry,) = EngineCache().entries()
    assert entry.facts["options"]["profile"]["image"]["best"] == [1, 1, 48, 48]
    with Image.open(tmp_path / "auto.png") as image:
        assert image.size == (180, 140)


def test_colour_channels_last_and_multiples_run_as_on_the_cpu(one_machine, tmp_path):
    package = make_package(tmp_path, channels=3, layout="NHWC", multiple=4)
    image = picture(c=3)
    with load(package, "tensorrt", tile=41) as compiled, load(package, "cpu", threads=1, tile=41) as reference:
        assert compiled.meta()["tile"] == 44
        np.testing.assert_array_equal(compiled(image), reference(image))


def test_pictures_smaller_than_a_tile_equal_the_cpu_up_to_their_borders(machine, package):
    with load(package, "tensorrt", tile=48) as compiled, load(package, "cpu", threads=1, tile=48) as reference:
        for size in ((1, 1), (7, 47), (48, 48), (20, 90), (90, 49)):
            image = picture(*size)
            np.testing.assert_array_equal(compiled(image), reference(image))
            np.testing.assert_allclose(compiled(image / 255), reference(image / 255), atol=1e-3)


def test_multiples_and_least_sizes_bound_what_is_compiled(one_machine, tmp_path):
    package = make_package(tmp_path, multiple=4, minimum=9)
    with load(package, "tensorrt", tile=45) as compiled, load(package, "cpu", threads=1, tile=45) as reference:
        for size in ((3, 5), (12, 13), (60, 47)):
            np.testing.assert_array_equal(compiled(picture(*size)), reference(picture(*size)))
    (entry,) = EngineCache().entries()
    assert entry.facts["options"]["profile"]["image"]["least"] == [1, 1, 12, 12]
    assert entry.facts["options"]["profile"]["image"]["most"] == [1, 1, 48, 48]


def test_a_network_of_fixed_size_keeps_it(one_machine, tmp_path):
    package = make_package(tmp_path, size=32)
    with load(package, "tensorrt") as compiled, load(package, "cpu", threads=1) as reference:
        np.testing.assert_array_equal(compiled(picture()), reference(picture()))
    with pytest.raises(UsageError, match="leave out --tile"):
        load(package, "tensorrt", tile=48)


def test_a_bare_file_runs(one_machine, tmp_path):
    path = networks.convolution_x(tmp_path / "bare.onnx")
    options = {"threads": 1, "tile": 64, "expects": {"color": "grey"}}
    with load(path, "tensorrt", **options) as compiled, load(path, "cpu", **options) as reference:
        np.testing.assert_array_equal(compiled(picture(100, 120)), reference(picture(100, 120)))


def test_the_second_load_builds_nothing_and_another_tile_does(one_machine, package):
    notes: list[str] = []
    for tile, count in ((48, 1), (48, 1), (None, 2), (512, 2)):
        with load(package, "tensorrt", tile=tile, note=notes.append) as restorer:
            assert restorer.meta()["tile"] == (tile or 512)
        assert len([text for text in notes if text.startswith("builds")]) == count


def test_a_damaged_engine_is_built_again(one_machine, package):
    load(package, "tensorrt", tile=48).close()
    (entry,) = EngineCache().entries()
    entry.path.write_bytes(entry.path.read_bytes()[:100])
    notes: list[str] = []
    load(package, "tensorrt", tile=48, note=notes.append).close()
    assert "is damaged and is built again" in notes[0]


def test_what_cannot_be_built_is_an_error_by_name_and_runs_elsewhere_by_auto(machine, package, capsys, tmp_path):
    machine.fail(build="Error Code 9: odd")
    with pytest.raises(BuildError, match="odd"):
        load(package, "tensorrt", tile=48)
    notes: list[str] = []
    with (
        load(package, "auto", threads=1, tile=48, note=notes.append) as restorer,
        load(package, "cpu", threads=1, tile=48) as reference,
    ):
        assert restorer.device in ON_CPU
        np.testing.assert_array_equal(restorer(picture()), reference(picture()))
    assert any("TensorRT is left out" in text for text in notes)
    Image.fromarray(picture()).save(tmp_path / "in.png")
    words = ["run", str(tmp_path / "in.png"), "-m", str(package), "-o", str(tmp_path / "o.png"), "--device", "tensorrt"]
    assert main(words) == 4
    assert "odd" in capsys.readouterr().err


def test_other_backends_cannot_run_engines(package):
    from edgesr.engines import open_backend
    from edgesr.model import open_package
    from edgesr.pipelines.compiled import load_compiled

    with pytest.raises(BackendError, match="cannot run TensorRT engines"):
        load_compiled(open_package(package), open_backend("cpu"))


def test_the_next_tile_is_enqueued_before_the_last_one_is_fetched(one_machine, package, monkeypatch):
    image = picture(120, 130)
    with load(package, "tensorrt", tile=48) as compiled, load(package, "cpu", threads=1, tile=48) as reference:
        expected, tiles = reference(image), tiles_for(compiled.descriptor, *image.shape, 48).count
        started: list[int] = []
        in_flight: set[int] = set()
        overlaps: list[int] = []
        run, fetch = TrtEngine.run, Workspace._fetch

        def noted_run(self, inputs, outputs=None):
            started.append(outputs["upscaled"].ptr)
            in_flight.add(outputs["upscaled"].ptr)
            return run(self, inputs, outputs)

        def noted_fetch(self, outputs, settings):
            # The first tile is run alone. Of two that are prepared together either may come first; the other waits.
            deadline = time.monotonic() + (1 if len(started) > 1 else 0)
            while len(in_flight) < 2 and time.monotonic() < deadline:
                time.sleep(0.001)
            overlaps.append(len(in_flight))
            result = fetch(self, outputs, settings)
            in_flight.discard(outputs["upscaled"].ptr)
            return result

        monkeypatch.setattr(TrtEngine, "run", noted_run)
        monkeypatch.setattr(Workspace, "_fetch", noted_fetch)
        done: list[int] = []
        bands = compiled.bands(image[..., None], on_tile=lambda number, count: done.append(number))
        np.testing.assert_array_equal(np.concatenate([band.rows for band in bands])[..., 0], expected)
        assert done == list(range(1, tiles + 1))
        assert len(started) == tiles
        assert len(set(started)) == 2
        assert overlaps.count(2) >= (tiles - 2) // 2


def test_without_room_for_a_second_tile_they_run_one_by_one(one_machine, package):
    with load(package, "tensorrt", tile=48) as compiled, load(package, "cpu", threads=1, tile=48) as reference:
        image = picture(60, 130)
        compiled(picture(48, 48))
        # The first two allocations of a second set of buffers fail.
        workspace = compiled._network._free[0]
        assert workspace._shapes
        one_machine.fake.fail("cudaMalloc", *[0] * 2, 2)
        np.testing.assert_array_equal(compiled(image), reference(image))


def test_a_picture_that_is_given_up_leaves_the_network_usable(one_machine, package):
    with load(package, "tensorrt", tile=48) as compiled, load(package, "cpu", threads=1, tile=48) as reference:
        image = picture(200, 130)
        bands = compiled.bands(image[..., None])
        next(bands)
        bands.close()
        np.testing.assert_array_equal(compiled(image), reference(image))


def pack_classifier(folder, network):
    said = {"task": "classify", "labels": ["red", "green", "blue"], "input": {"mean": [0], "std": [1]}}
    pack(network, folder / "colours.edgesr", name="colours", version="1", overrides=said, probe=cpu_probe)
    return folder / "colours.edgesr"


def test_a_classifier_is_compiled_and_answers_as_on_the_cpu(tmp_path, machine):
    package = pack_classifier(tmp_path, networks.color_classifier(tmp_path / "c.onnx"))
    picture = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    notes = []
    with load(package, "cpu", threads=1) as cpu, load(package, "tensorrt", note=notes.append) as compiled:
        assert compiled.device.startswith("tensorrt")
        np.testing.assert_allclose(compiled(picture).scores, cpu(picture).scores, rtol=1e-5)
    assert "builds the TensorRT engine of colours for its own sizes" in notes[0]
    with load(package, "tensorrt", note=notes.append) as again:
        again(picture)
    assert len([text for text in notes if text.startswith("builds")]) == 1


def test_a_labelling_network_of_open_size_is_left_to_onnx_runtime(tmp_path, machine):
    said = {"task": "segment", "input": {"mean": [0], "std": [1]}}
    network = networks.color_segmenter(tmp_path / "s.onnx")
    pack(network, tmp_path / "s.edgesr", name="s", version="1", overrides=said, probe=cpu_probe)
    with pytest.raises(BuildError, match="its input 'image' has no fixed size"):
        load(tmp_path / "s.edgesr", "tensorrt")
    notes = []
    with load(tmp_path / "s.edgesr", "auto", note=notes.append) as segment:
        assert segment.device in ON_CPU
    assert notes[0].startswith("TensorRT is left out: model s: its input 'image' has no fixed size")
