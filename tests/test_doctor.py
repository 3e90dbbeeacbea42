"""The doctor on machines and Python installations that are made up: each known ailment is found, with its cure."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edgesr.cli import doctor as command
from edgesr.cli import main
from edgesr.device import Machine, find_jetson
from edgesr.doctor import Check, Interpreter, diagnose
from edgesr.doctor.board import check_memory
from edgesr.doctor.gpu import check_tensorrt
from edgesr.doctor.interpreter import Answer, ProbeError
from edgesr.doctor.libraries import DICOM, REQUIRED, check_libraries, check_opencv
from edgesr.doctor.openvino import check_openvino
from edgesr.doctor.runtime import check_onnxruntime
from edgesr.doctor.storage import check_folders, check_models
from edgesr.doctor.system import PYTHONS, check_jetpack, check_python

GIB = 1 << 30
DESKTOP = Machine("x86_64", "a processor", "amd", 8, 16 * GIB, 9 * GIB, None, None)
GOOD = {"numpy": "2.1.0", "onnx": "1.20.1", "pillow": "12.0", "tifffile": "2025.5.10", "tqdm": "4.67.1"}
SYSTEM_CV2 = "usr/lib/python3.10/dist-packages/cv2/__init__.py"


@dataclass(frozen=True)
class Fake(Interpreter):
    """A Python whose packages, files and answers are given."""

    version: tuple[int, ...] = (3, 10, 12)
    executable: str = "/opt/venv/bin/python"
    prefix: Path = Path("/opt/venv")
    base_prefix: Path = Path("/usr")
    installed: dict[str, str] = field(default_factory=lambda: dict(GOOD))
    modules: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    isolated: bool = False

    @property
    def packages(self):
        return self.installed

    @property
    def is_isolated(self):
        return self.isolated

    def locate(self, module):
        return self.modules.get(module)

    def ask(self, code):
        for word, value in self.answers.items():
            if word in code:
                if isinstance(value, Exception):
                    raise value
                return value if isinstance(value, Answer) else Answer(value, "")
        raise AssertionError(f"unexpected question: {code}")


def only(checks) -> Check:
    (check,) = checks
    return check


@pytest.fixture
def orin(tmp_path) -> Machine:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081\n",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        "proc/device-tree/compatible": "nvidia,p3767-0005\0nvidia,tegra234\0",
        SYSTEM_CV2: "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return replace(DESKTOP, architecture="aarch64", gpu="integrated GPU", jetson=find_jetson(tmp_path))


@pytest.mark.parametrize(("version", "status"), [((3, 9, 1), "problem"), ((3, 10, 0), "ok"), ((3, 14, 0), "problem")])
def test_only_supported_pythons_are_fine(tmp_path, version, status):
    assert only(check_python(DESKTOP, Fake(version=version), tmp_path)).status == status


def test_little_memory_is_a_problem(tmp_path):
    memory, swap = check_memory(replace(DESKTOP, memory_available=GIB), Fake(), tmp_path)
    assert (memory.status, swap.detail) == ("problem", "none")
    memory, _ = check_memory(DESKTOP, Fake(), tmp_path)
    assert memory.status == "ok"


def test_jetpack_fits_its_own_python_only(tmp_path, orin):
    check = only(check_jetpack(orin, Fake(), tmp_path))
    assert check.status == "ok"
    assert "JetPack 6.1-6.2.2 (L4T 36.4.3): Python 3.10, CUDA 12.6, TensorRT 10.3.0" in check.detail
    check = only(check_jetpack(orin, Fake(version=(3, 12, 1)), tmp_path))
    assert check.status == "problem"
    assert "/usr/bin/python3.10 -m venv --system-site-packages /opt/venv" in check.remedy


@pytest.mark.parametrize(
    ("release", "status", "words"),
    [
        ("# R32 (release), REVISION: 7.1", "problem", "too old"),
        ("# R35 (release), REVISION: 4.1", "problem", "too old"),
        ("# R44 (release), REVISION: 1.0", "info", "does not know"),
        ("", "info", "no /etc/nv_tegra_release"),
    ],
)
def test_old_unknown_and_hidden_jetpacks_are_told_apart(tmp_path, orin, release, status, words):
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    check = only(check_jetpack(replace(orin, jetson=find_jetson(tmp_path)), Fake(), tmp_path))
    assert check.status == status
    assert words in check.detail


def libraries(errors: dict[str, str], **options: Any) -> dict[str, Check]:
    modules = [*(module for module, _ in REQUIRED.values()), *DICOM.values()]
    python = Fake(answers={"import_module": {module: errors.get(module, "") for module in modules}}, **options)
    return {check.name: check for check in check_libraries(DESKTOP, python, Path("/"))}


def test_libraries_that_do_not_import_or_are_old_are_problems():
    checks = libraries({"PIL": "cannot be imported: ImportError: libjpeg.so.62"}, installed={**GOOD, "numpy": "1.21.5"})
    assert [name for name, check in checks.items() if check.status == "problem"] == ["numpy", "pillow"]
    assert "install --upgrade 'numpy>=1.23'" in checks["numpy"].remedy
    assert "libjpeg.so.62" in checks["pillow"].detail


def test_missing_dicom_is_an_option_not_a_problem():
    check = libraries({"pydicom": "not installed"})["dicom"]
    assert check.detail == "DICOM files cannot be read: pydicom not installed"
    assert (check.status, check.remedy) == ("info", "/opt/venv/bin/python -m pip install 'edgesr[dicom]'")


def test_the_least_versions_are_those_that_pip_is_told():
    requirements = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    for name, (_, least) in REQUIRED.items():
        assert f'"{name}>={".".join(map(str, least))}"' in requirements
    low, high = PYTHONS
    assert f'requires-python = ">=3.{low[1]},<3.{high[1] + 1}"' in requirements


def opencv(machine: Machine, root: Path, **options: Any) -> Check:
    return only(check_opencv(machine, Fake(**options), root))


def test_the_system_opencv_of_a_jetson_is_right(tmp_path, orin):
    found = {"cv2": str(tmp_path / SYSTEM_CV2)}
    check = opencv(orin, tmp_path, modules=found, answers={"import re, cv2": ["4.8.0", True]})
    assert (check.status, check.detail) == ("ok", "4.8.0 from the system, with GStreamer")


def test_a_wheel_that_hides_the_system_opencv_of_a_jetson_is_a_problem(tmp_path, orin):
    wheel = {"installed": {**GOOD, "opencv-python": "4.11.0"}, "modules": {"cv2": "/opt/venv/lib/cv2/__init__.py"}}
    check = opencv(orin, tmp_path, **wheel)
    assert check.status == "problem"
    assert check.remedy == "/opt/venv/bin/python -m pip uninstall -y opencv-python"
    check = opencv(orin, tmp_path, **wheel, isolated=True)
    assert "then rm -r /opt/venv && /usr/bin/python3 -m venv --system-site-packages /opt/venv" in check.remedy


def test_a_wheel_is_fine_where_nothing_is_hidden(tmp_path):
    wheel = {"installed": {**GOOD, "opencv-python": "4.11.0"}, "modules": {"cv2": "/opt/venv/lib/cv2/__init__.py"}}
    check = opencv(DESKTOP, tmp_path, **wheel, answers={"import re, cv2": ["4.11.0", False]})
    assert (check.status, check.detail) == ("ok", "4.11.0 from opencv-python, without GStreamer")


def test_two_opencv_wheels_are_a_problem(tmp_path):
    installed = {**GOOD, "opencv-python": "4.11.0", "opencv-python-headless": "5.0.0"}
    check = opencv(DESKTOP, tmp_path, installed=installed)
    assert check.status == "problem"
    assert "uninstall -y opencv-python opencv-python-headless && " in check.remedy


def test_a_venv_that_cannot_see_the_system_opencv_is_made_again(tmp_path, orin):
    check = opencv(orin, tmp_path, isolated=True)
    assert check.status == "problem"
    assert "--system-site-packages" in check.remedy


def test_no_opencv_at_all_is_no_problem(tmp_path):
    check = opencv(DESKTOP, tmp_path)
    assert (check.status, check.remedy) == ("info", "")


def test_a_system_opencv_for_another_numpy_is_recognised(tmp_path, orin):
    found = {"cv2": str(tmp_path / SYSTEM_CV2)}
    error = ProbeError("AttributeError: _ARRAY_API not found")
    check = opencv(orin, tmp_path, modules=found, answers={"import re, cv2": error})
    assert check.status == "problem"
    assert "'numpy>=1.23,<2'" in check.remedy


def runtime(machine: Machine, answer: Any, packages: dict[str, str]) -> dict[str, Check]:
    python = Fake(installed={**GOOD, **packages}, answers={"onnxruntime": answer})
    return {check.name: check for check in check_onnxruntime(machine, python, Path("/"))}


CPU_BUILD = {"version": "1.23.2", "providers": ["CPUExecutionProvider"], "cuda": "absent", "cpu": 9.0}
GPU_BUILD = {**CPU_BUILD, "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"], "cuda": "runs"}
GPU_DESKTOP = replace(DESKTOP, gpu="NVIDIA H200")


def test_a_working_runtime_is_fine():
    checks = runtime(DESKTOP, CPU_BUILD, {"onnxruntime": "1.23.2"})
    assert {name: check.status for name, check in checks.items()} == {"onnxruntime": "ok"}
    assert checks["onnxruntime"].detail == "1.23.2 (onnxruntime), providers CPU"


def test_two_runtimes_in_one_place_are_a_problem():
    checks = runtime(GPU_DESKTOP, GPU_BUILD, {"onnxruntime": "1.20.0", "onnxruntime-gpu": "1.23.2"})
    pip = "/opt/venv/bin/python -m pip"
    assert checks["onnxruntime packages"].status == "problem"
    assert checks["onnxruntime packages"].remedy == (
        f"{pip} uninstall -y onnxruntime onnxruntime-gpu && {pip} install --no-deps onnxruntime-gpu==1.23.2"
    )
    checks = runtime(DESKTOP, CPU_BUILD, {"onnxruntime": "1.20.0", "onnxruntime-gpu": "1.23.2"})
    assert checks["onnxruntime packages"].remedy.endswith("install --no-deps onnxruntime==1.20.0")


def test_extensions_are_no_second_runtime():
    checks = runtime(DESKTOP, CPU_BUILD, {"onnxruntime": "1.23.2", "onnxruntime-extensions": "0.14"})
    assert "onnxruntime packages" not in checks


@pytest.mark.parametrize("version", ["1.16.3", "1.9.0"])
def test_an_old_runtime_is_a_problem(version):
    assert runtime(DESKTOP, {**CPU_BUILD, "version": version}, {})["onnxruntime"].status == "problem"


def test_a_missing_or_broken_runtime_is_a_problem():
    checks = runtime(DESKTOP, ProbeError("crashed with SIGILL"), {"onnxruntime": "1.23.2"})
    assert checks["onnxruntime"].detail == "cannot be used: crashed with SIGILL"
    checks = runtime(DESKTOP, ProbeError("ModuleNotFoundError: No module named 'onnxruntime'"), {})
    assert checks["onnxruntime"].detail == "not installed"


def test_an_unused_gpu_is_a_problem_with_the_right_wheel(orin):
    check = runtime(GPU_DESKTOP, CPU_BUILD, {"onnxruntime": "1.23.2"})["onnxruntime cuda"]
    assert check.status == "problem"
    assert check.remedy.endswith("pip install 'onnxruntime-gpu[cuda,cudnn]'")
    check = runtime(orin, CPU_BUILD, {"onnxruntime": "1.23.2"})["onnxruntime cuda"]
    assert "made for JetPack 6.1-6.2.2 (CUDA 12.6, Python 3.10)" in check.remedy


@pytest.mark.parametrize(
    ("state", "messages", "reason"),
    [
        (
            "not started",
            "... error: libcudnn.so.9: cannot open shared object file: No such file",
            "libcudnn.so.9 is missing",
        ),
        ("failed: no kernel image is available", "", "no kernel image is available"),
        ("not started", "", "not started"),
        ("wrong result", "", "wrong result"),
    ],
)
def test_a_cuda_provider_that_does_not_work_says_why(state, messages, reason):
    check = runtime(GPU_DESKTOP, Answer({**GPU_BUILD, "cuda": state}, messages), {"onnxruntime-gpu": "1.23.2"})[
        "onnxruntime cuda"
    ]
    assert check.status == "problem"
    assert check.detail.endswith(reason)


def test_a_gpu_build_without_a_gpu_is_only_told():
    checks = runtime(DESKTOP, {**GPU_BUILD, "cuda": "not started"}, {"onnxruntime-gpu": "1.23.2"})
    assert checks["onnxruntime cuda"].status == "info"


def test_tensorrt_is_only_told_on_a_desktop_and_needed_on_a_jetson(orin, tmp_path):
    assert only(check_tensorrt(DESKTOP, Fake(), tmp_path)).status == "info"
    hidden = only(check_tensorrt(orin, Fake(isolated=True), tmp_path))
    assert "--system-site-packages" in hidden.remedy
    error = ProbeError("ImportError: libnvdla_compiler.so: cannot open shared object file")
    python = Fake(modules={"tensorrt": "/usr/lib"}, answers={"tensorrt": error})
    check = only(check_tensorrt(orin, python, tmp_path))
    assert check.status == "problem"
    assert "libnvdla_compiler.so" in check.detail
    assert "--runtime nvidia" in check.remedy


def test_a_jetson_that_uses_tensorrt_needs_no_gpu_build_of_onnxruntime(orin):
    python = Fake(modules={"tensorrt": "/usr/lib"}, answers={"onnxruntime": CPU_BUILD}, installed={"onnxruntime": "1"})
    checks = {check.name: check for check in check_onnxruntime(orin, python, Path("/"))}
    assert (checks["onnxruntime cuda"].status, checks["onnxruntime cuda"].remedy) == ("info", "")


def test_folders_that_cannot_be_written_are_problems(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    checks = {check.name: check for check in check_folders(DESKTOP, Fake(), tmp_path)}
    assert checks["cache"].status == "problem"
    assert "XDG_CACHE_HOME" in checks["cache"].remedy
    assert checks["own models"].status == "ok"


def test_a_damaged_own_model_is_a_problem(own_home):
    folder = own_home / "data" / "edgesr" / "models"
    folder.mkdir(parents=True)
    (folder / "broken.edgesr").write_bytes(b"not a package")
    checks = {check.name: check for check in check_models(DESKTOP, Fake(), Path("/"))}
    assert checks["model broken"].status == "problem"
    assert "edgesr models add --force" in checks["model broken"].remedy


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(tmp_path):
    checks = {check.name: check for check in diagnose(tmp_path, machine=DESKTOP, python=Fake())}
    assert checks["libraries"].status == "problem"
    assert "unexpected question" in checks["libraries"].detail
    assert checks["python"].status == "ok"


@pytest.mark.parametrize(
    ("prefix", "shown"), [("/home/alice/venv", "~/venv"), ("/media/alice/hal9000/venv", "/media/USER/HOST/venv")]
)
def test_nothing_personal_is_told(tmp_path, monkeypatch, prefix, shown):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr("socket.gethostname", lambda: "hal9000")
    python = Fake(prefix=Path(prefix), executable=f"{prefix}/bin/python")
    text = " ".join(c.detail for c in diagnose(tmp_path, machine=DESKTOP, python=python))
    assert f"virtual environment {shown}" in text
    assert "alice" not in text and "hal9000" not in text


def test_a_probe_survives_what_libraries_do():
    python = Interpreter.current()
    assert python.ask("print('noise')\nanswer = [1, 'two']").value == [1, "two"]
    for code, words in (
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit(3)", "ended with code 3"),
        ("import os\nos._exit(0)", "gave no answer"),
    ):
        with pytest.raises(ProbeError, match=re.escape(words)):
            python.ask(code)


def test_this_python_knows_itself():
    python = Interpreter.current()
    assert python.packages["numpy"]
    assert python.locate("no_such_module") is None
    assert python.locate("edgesr") is not None
    assert python.version == tuple(sys.version_info[:3])


@pytest.mark.parametrize(("setting", "isolated"), [("true", False), ("false", True)])
def test_a_venv_says_whether_it_sees_the_system(tmp_path, setting, isolated):
    (tmp_path / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = {setting}\n")
    python = Interpreter((3, 10, 0), "python", tmp_path, Path("/usr"))
    assert python.is_isolated is isolated


def test_the_command_prints_columns_and_counts(capsys, monkeypatch):
    checks = [Check("numpy", "ok", "2.1"), Check("memory", "problem", "1 GiB", "buy more")]
    monkeypatch.setattr(command, "diagnose", lambda **_: checks)
    assert command.execute(argparse.Namespace(json=False)) == 3
    assert (
        capsys.readouterr().out == "ok       numpy   2.1\nproblem  memory  1 GiB\n         -> buy more\n\n1 problem\n"
    )
    monkeypatch.setattr(command, "diagnose", lambda **_: checks[:1])
    assert command.execute(argparse.Namespace(json=False)) == 0


def test_the_command_prints_json_about_this_machine(capsys):
    code = main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    statuses = [check["status"] for check in document["checks"]]
    assert code == (3 if "problem" in statuses else 0)
    assert document["machine"]["cores"] >= 1
    names = [check["name"] for check in document["checks"]]
    assert {"python", "machine", "memory", "numpy", "onnxruntime", "cache"} <= set(names)
    assert not [check for check in document["checks"] if "this check failed" in check["detail"]]


def test_the_library_in_use_for_video_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgesr.doctor import video
    from edgesr.media.gst import GStreamer

    def look(gstreamer: GStreamer | None, **packages: str) -> Check:
        monkeypatch.setattr(video, "find_gstreamer", lambda: gstreamer)
        (check,) = video.check_video(DESKTOP, Fake(installed=packages), Path("/"))
        return check

    monkeypatch.setattr(GStreamer, "has", lambda self, element: element in ("x264enc", "avenc_ffv1"))
    both = look(GStreamer("gst-launch-1.0", "1.24.2"), av="17.1.0")
    assert both.status == "ok"
    assert both.detail.startswith(
        "GStreamer 1.24.2 in a child process; encodes H.264 by x264enc, FFV1 by avenc_ffv1; PyAV"
    )
    assert look(None, av="17.1.0").detail.startswith("PyAV 17.1.0: files")
    neither = look(None)
    assert (neither.status, "pip install 'edgesr[video]'" in neither.remedy) == ("info", True)
    monkeypatch.setattr(GStreamer, "has", lambda self, element: False)
    assert "encodes nothing" in look(GStreamer("gst-launch-1.0", "1.24.2")).detail


@pytest.mark.parametrize(
    ("installed", "answer", "status", "told"),
    [
        (False, None, "info", "not installed; --device auto takes ONNX Runtime"),
        (
            True,
            {"version": "2026.4.1-123", "able": ["FP32", "INT8"]},
            "ok",
            "2026.4.1, no units for bf16; --device auto",
        ),
        (True, {"version": "2026.4.1", "able": ["FP32", "BF16"]}, "ok", "units for bf16 (--precision bf16)"),
        (True, ProbeError("crashed with SIGILL"), "problem", "cannot be used: crashed with SIGILL"),
    ],
)
def test_openvino_is_named_with_what_auto_does(installed, answer, status, told):
    packages = {**GOOD, **({"openvino": "2026.4.1"} if installed else {})}
    check = only(check_openvino(DESKTOP, Fake(installed=packages, answers={"openvino": answer}), Path("/")))
    assert check.status == status
    assert told in check.detail
