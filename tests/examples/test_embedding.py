"""The examples that put edgesr into other programs, with the real library where there is one, else a stand-in."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgesr.media.open import open_source
from tests import networks
from tests.engines.doubles import DoubleBackend, build
from tests.media.needs import needs_av

EXAMPLES = Path(__file__).parents[2] / "examples/embedding"
GREYS = (40, 120, 200)


def example(name: str) -> Any:
    """Import an example by its file."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_av
def test_the_opencv_loop_restores_every_frame(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (16, 12))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for grey in GREYS:
        writer.write(np.full((12, 16, 3), (0, 0, grey), np.uint8))
    writer.release()
    assert example("opencv_loop").main(str(clip), str(tmp_path / "large.avi"), "cxr-x4-fast") == 3
    with open_source(tmp_path / "large.avi", through="pyav") as source:
        frames = list(source)
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 3
    assert [int(frame.image[24, 32, 0]) for frame in frames] == pytest.approx(GREYS, abs=25)
    assert max(int(frame.image[24, 32, 2]) for frame in frames) < 90  # what is red stays red


def test_appsink_and_appsrc_pass_every_frame_of_real_gstreamer() -> None:
    """PyGObject belongs to the system's Python, which has no NumPy of ours: the frames are doubled there."""
    code = (
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "import gstreamer_app, numpy\n"
        "print(gstreamer_app.main(lambda frame: numpy.ascontiguousarray(frame.repeat(2, 0).repeat(2, 1))))"
    )
    for python in ("/usr/bin/python3", sys.executable):
        probe = "import gi, numpy; gi.require_version('GstApp', '1.0'); from gi.repository import GstApp"
        if not Path(python).exists():
            continue
        if subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0:
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stdout.strip()) == (0, "20"), done.stderr
            return
    pytest.skip("no Python here has PyGObject with GStreamer and NumPy")


def test_the_ros_node_answers_each_image_with_its_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    """rclpy and sensor_msgs are stand-ins: ROS 2 cannot be installed here."""

    class Node:
        def __init__(self, name: str) -> None:
            self.published: list[Any] = []
            self.errors: list[str] = []

        def declare_parameter(self, name: str, value: str) -> None:
            setattr(self, f"_{name}", value)

        def get_parameter(self, name: str) -> Any:
            return SimpleNamespace(value=getattr(self, f"_{name}"))

        def create_publisher(self, kind: type, topic: str, depth: int) -> Any:
            return SimpleNamespace(publish=self.published.append)

        def create_subscription(self, kind: type, topic: str, call: Any, profile: Any) -> None:
            self.profile = profile

        def get_logger(self) -> Any:
            return SimpleNamespace(error=self.errors.append)

        def destroy_node(self) -> None:
            return

    modules = {
        "rclpy": {},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"QoSProfile": SimpleNamespace, "ReliabilityPolicy": SimpleNamespace(BEST_EFFORT="best effort")},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": SimpleNamespace},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    node = example("ros2_node").Restorer()
    assert (node.profile.depth, node.profile.reliability) == (1, "best effort")
    rows = np.zeros((6, 8 * 3 + 4), np.uint8)  # rows of messages may be padded
    rows[:, :24] = np.tile(np.array([200, 100, 0], np.uint8), (6, 8))
    for encoding in ("bgr8", "rgb8", "yuv422"):
        node.on_image(
            SimpleNamespace(header="stamp", encoding=encoding, height=6, width=8, step=28, data=rows.tobytes())
        )
    node.destroy_node()
    assert node.errors == ["encoding yuv422 is not one of rgb8, bgr8, mono8"]
    for answer, encoding in zip(node.published, ("bgr8", "rgb8"), strict=True):
        assert (answer.header, answer.encoding) == ("stamp", encoding)
        assert (answer.height, answer.width, answer.step) == (24, 32, 96)
        pixels = np.frombuffer(answer.data, np.uint8).reshape(24, 32, 3)
        assert pixels[12, 16].tolist() == pytest.approx([200, 100, 0], abs=12)


def test_frames_on_the_gpu_enter_and_leave_an_engine_without_a_copy(tmp_path: Path) -> None:
    """libcudart and TensorRT are doubles, as in the tests of the engines."""

    class Theirs:
        def __init__(self, buffer: Any) -> None:
            self.__cuda_array_interface__ = buffer.__cuda_array_interface__

    backend = DoubleBackend("10.3.0")
    plan = tmp_path / "affine.engine"
    assert build(backend.double, networks.affine(tmp_path / "a.onnx"), plan)
    run = example("zero_copy").DeviceEngine(backend, plan)
    x = np.random.default_rng(0).random((1, 2, 4, 4), np.float32)
    frames = backend.empty(x.shape, x.dtype)
    frames.copy_from(x)
    gain = backend.empty((1,), np.dtype(np.float32))
    gain.copy_from(np.array([2], np.float32))
    pointers = set()
    for _ in range(3):
        result = run(x=Theirs(frames), gain=Theirs(gain))["y"]
        pointers.add(result.__cuda_array_interface__["data"][0])
        np.testing.assert_allclose(result.numpy(), x * 2 + 0.5, rtol=1e-6)
    assert len(pointers) == 1
    del run, result
    backend.close()


def test_the_program_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    from edgesr.media.open import open_sink

    monkeypatch.chdir(tmp_path)
    with open_sink("clip.y4m", fps=25) as sink:
        for grey in GREYS:
            sink.write(np.full((12, 16), grey, np.uint8))
    (code,) = re.findall(r"```python\n(.*?)```", (EXAMPLES.parents[1] / "docs/media.md").read_text(), re.S)
    exec(compile(code, "docs/media.md", "exec"), {})
    with open_source("large.y4m") as source:
        assert [frame.image.shape for frame in source] == [(48, 64, 3)] * 3
