"""What is OpenVINO's own; what all backends share stands in test_conformance.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgesr.engines import open_backend
from edgesr.engines.openvino import OpenVinoBackend
from edgesr.errors import BackendError, ModelError, UsageError
from edgesr.pipelines.load import open_model
from tests import networks

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'edgesr[openvino]'")


def run(engine, backend, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    buffers = {}
    for name, array in arrays.items():
        buffers[name] = backend.empty(array.shape, array.dtype)
        buffers[name].copy_from(array)
    return {name: np.array(buffer.numpy()) for name, buffer in engine.run(buffers).items()}


def test_a_convolution_network_gives_onnx_runtimes_numbers_at_every_run_of_a_shape(tmp_path):
    path = networks.convolution_x(tmp_path / "n.onnx", channels=3)
    ours, theirs = OpenVinoBackend(threads=1), open_backend("cpu", threads=1)
    engine, reference = ours.load(path), theirs.load(path)
    for seed, shape in enumerate([(1, 3, 16, 20), (1, 3, 16, 20), (1, 3, 16, 20), (1, 3, 5, 7), (1, 3, 16, 20)]):
        image = np.random.default_rng(seed).random(shape, np.float32)
        expected = run(reference, theirs, image=image)["upscaled"]
        np.testing.assert_allclose(run(engine, ours, image=image)["upscaled"], expected, rtol=1e-5, atol=1e-5)


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
from edgesr.engines.openvino import OpenVinoBackend

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

backend = OpenVinoBackend(threads=1)
engine = backend.load(Path(sys.argv[1]))
inputs = {name: backend.empty(tuple(map(int, shape.split("x"))), np.dtype(np.float32))
          for name, shape in (word.split(":") for word in sys.argv[2:])}
for buffer in inputs.values():
    buffer.copy_from(np.full(buffer.shape, 0.4, np.float32))
outputs = {name: backend.empty(buffer.shape, np.dtype(np.float32)) for name, buffer in engine.run(inputs).items()}
found = []
for action in (None, None, engine.release_memory, None):
    if action:
        action()
    else:
        engine.run(inputs, outputs)
    found.append(resident())
print(*found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_kernels_for_any_shape_leave_no_memory_beside_those_for_one(tmp_path):
    package = open_model("cxr-x4-fast")
    shapes = ["image:1x1x256x256", "fidelity:1", "degradation:3", "consistency:1", "quantum:1"]
    words = [sys.executable, "-c", MEMORY, str(package.part_path("network")), *shapes]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    second, third, released, again = map(float, done.stdout.split())
    needed = third - released
    assert needed > 50  # MiB of the largest intermediate tensors
    assert abs(again - third) < 0.25 * needed
    assert abs(second - third) < 0.25 * needed


def test_memory_that_was_given_back_is_allocated_again(tmp_path):
    backend = OpenVinoBackend(threads=1)
    engine = backend.load(networks.convolution_x(tmp_path / "n.onnx", channels=3))
    image = np.random.default_rng(0).random((1, 3, 16, 20), np.float32)
    before = [run(engine, backend, image=image)["upscaled"] for _ in range(2)]
    engine.release_memory()
    for picture in before:
        np.testing.assert_array_equal(run(engine, backend, image=image)["upscaled"], picture)


def test_an_output_keeps_its_name_when_it_is_another_tensor_renamed(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Identity", ["inner"], ["outer"])]
    outputs = [networks.tensor("outer", "n"), networks.tensor("inner", "n")]
    path = networks.save(tmp_path / "n.onnx", nodes, [networks.tensor("x", "n")], outputs)
    backend = OpenVinoBackend(threads=1)
    engine = backend.load(path)
    assert list(engine.outputs) == ["outer", "inner"]
    found = run(engine, backend, x=np.array([-1, 2], np.float32))
    assert found["outer"].tolist() == found["inner"].tolist() == [0, 2]


def test_an_output_that_does_not_fill_its_buffer_is_an_error_not_a_remainder(tmp_path):
    backend = OpenVinoBackend(threads=1)
    engine = backend.load(networks.compaction(tmp_path / "c.onnx"))
    x = backend.empty((4,), np.dtype(np.float32))
    x.copy_from(np.array([1, -1, 2, -3], np.float32))
    with pytest.raises(BackendError):
        engine.run({"x": x}, {"y": backend.empty((4,), np.dtype(np.float32))})


def test_a_type_that_cannot_be_passed_is_named(tmp_path):
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    outputs = [networks.tensor("y", 2, kind=TensorProto.BFLOAT16)]
    path = networks.save(tmp_path / "n.onnx", [node], [networks.tensor("x", 2)], outputs)
    with pytest.raises(ModelError, match="'y' has type bf16"):
        OpenVinoBackend(threads=1).load(path)


def test_an_operator_that_openvino_lacks_is_named_in_one_line(tmp_path):
    node = helper.make_node("Nonsense", ["x"], ["y"], domain="nowhere")
    graph = helper.make_graph([node], "n", [networks.tensor("x", 2)], [networks.tensor("y", 2)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    path = tmp_path / "odd.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    with pytest.raises(ModelError, match=r"odd\.onnx.*Nonsense") as caught:
        OpenVinoBackend(threads=1).load(path)
    assert "\n" not in str(caught.value)


def test_kernels_compute_in_fp32_unless_asked(tmp_path):
    engine = OpenVinoBackend(threads=1).load(networks.convolution_x(tmp_path / "n.onnx"))
    assert engine._any_shape.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"


def test_bf16_runs_where_the_processor_has_it_and_is_refused_elsewhere(tmp_path):
    import openvino

    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        backend = OpenVinoBackend(threads=1, precision="bf16")
        assert backend.name == "openvino:cpu:bf16"
        backend.load(networks.convolution_x(tmp_path / "n.onnx"))
    else:
        with pytest.raises(BackendError, match=r"bf16 needs a processor with units for it.*use fp32"):
            OpenVinoBackend(threads=1, precision="bf16")


def test_options_that_do_not_belong_together_are_refused():
    with pytest.raises(UsageError, match=r"unknown device 'openvino:1'"):
        open_backend("openvino:1")
    with pytest.raises(UsageError, match="are ONNX Runtime's"):
        open_backend("openvino", providers=["CPUExecutionProvider"])
    with pytest.raises(UsageError, match="--device openvino alone"):
        open_backend("cpu", precision="bf16")
    with pytest.raises(BackendError, match="use fp32 or bf16"):
        open_backend("openvino", precision="fp8")
    with pytest.raises(BackendError, match="at least 1"):
        open_backend("openvino", threads=0)


def test_a_run_loads_no_telemetry_and_leaves_the_import_of_others_alone(tmp_path: Path):
    path = networks.affine(tmp_path / "affine.onnx")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edgesr.engines.openvino import OpenVinoBackend\n"
        f"OpenVinoBackend(threads=1).load(Path({str(path)!r}))\n"
        "print(sorted(name for name in sys.modules if 'telemetry' in name.split('.')[0]))\n"
        "import openvino_telemetry\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_profile_holds_the_kernels_of_every_run_once_the_engine_is_closed(tmp_path):
    backend = OpenVinoBackend(threads=1, profile=tmp_path)
    engine = backend.load(networks.convolution_x(tmp_path / "n.onnx", channels=3))
    for _ in range(3):
        run(engine, backend, image=np.zeros((1, 3, 16, 20), np.float32))
    assert not (tmp_path / "n.json").exists()
    engine.close()
    engine.close()
    events = json.loads((tmp_path / "n.json").read_text())
    assert [event["name"] for event in events].count("model_run") == 3
    kernels = [event for event in events if event.get("cat") == "Node"]
    assert "Convolution" in {event["args"]["op_name"] for event in kernels}
    assert all(event["dur"] >= 0 for event in kernels)


def test_a_profile_that_cannot_be_written_says_so(tmp_path):
    backend = OpenVinoBackend(threads=1, profile=tmp_path / "absent")
    engine = backend.load(networks.convolution_x(tmp_path / "n.onnx", channels=3))
    with pytest.raises(BackendError, match=r"n\.json: OpenVINO's profile cannot be written: No such file"):
        engine.close()
