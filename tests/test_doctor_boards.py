"""The doctor on five recorded machines: power, memory, swap, CUDA, TensorRT, OpenCV, each with its cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesr.device import Machine, find_swap, this_machine
from edgesr.doctor import Check
from edgesr.doctor.board import check_memory, check_power
from edgesr.doctor.gpu import check_cuda, check_tensorrt
from edgesr.doctor.interpreter import ProbeError
from edgesr.doctor.libraries import check_opencv
from edgesr.doctor.system import check_jetpack
from tests.boards import BOARDS, record, write
from tests.test_doctor import GOOD, Fake, only

GPUS = {
    "orin-nano": ([12, 6], [12, 6], "Orin", [8, 7]),
    "orin-nx": ([12, 6], [12, 6], "Orin", [8, 7]),
    "agx-orin": ([12, 6], [12, 6], "Orin", [8, 7]),
    "thor": ([13, 0], [13, 0], "NVIDIA Thor", [11, 0]),
    "desktop": ([12, 9], [13, 0], "NVIDIA GeForce RTX 4090", [8, 9]),
}
TENSORRTS = {"orin-nano": "10.3.0", "orin-nx": "10.3.0", "agx-orin": "10.3.0", "thor": "10.13.3.9", "desktop": "10.7.0"}


def machine(root: Path, name: str) -> Machine:
    found = this_machine(record(root, name))
    return found if name == "desktop" else replace(found, architecture="aarch64")


def python(name: str, **options: Any) -> Fake:
    version, driver, gpu, capability = GPUS[name]
    answers = {
        "CudaRuntime": [version, driver, gpu, capability, "libcudart.so"],
        "import tensorrt": TENSORRTS[name],
        "import re, cv2": ["4.8.0", True],
    }
    modules = {"tensorrt": "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py"}
    modules["cv2"] = "/usr/lib/python3.10/dist-packages/cv2/__init__.py"
    given = {"version": (3, 12, 3) if name == "thor" else (3, 10, 12), "answers": answers, "modules": modules}
    return Fake(**{**given, **options})


@pytest.mark.parametrize("name", [*BOARDS, "desktop"])
def test_a_machine_as_it_should_be_has_no_problem(tmp_path, name):
    found: list[Check] = []
    board, interpreter = machine(tmp_path, name), python(name)
    for look in (check_jetpack, check_power, check_memory, check_cuda, check_tensorrt, check_opencv):
        found += look(board, interpreter, tmp_path)
    assert [check.name for check in found if check.status == "problem"] == []
    told = {check.name: check for check in found}
    assert told["cuda"].detail.endswith(f"{GPUS[name][2]}, compute capability {'.'.join(map(str, GPUS[name][3]))}")
    assert told["tensorrt"].detail == f"{TENSORRTS[name]}, used by --device auto"
    assert told["opencv"].detail == "4.8.0 from the system, with GStreamer"
    assert ("power mode" in told) == (name != "desktop")


@pytest.mark.parametrize(
    ("name", "detail", "remedy"),
    [
        ("orin-nano", "1 (25W); the fastest of this board is 2 (MAXN_SUPER)", "sudo nvpmodel -m 2"),
        ("orin-nx", "3 (25W); the fastest of this board is 0 (MAXN)", "sudo nvpmodel -m 0"),
        ("agx-orin", "2 (MODE_30W); the fastest of this board is 0 (MAXN)", "sudo nvpmodel -m 0"),
        ("thor", "0 (MAXN), the fastest", ""),
    ],
)
def test_the_power_mode_is_named_and_the_fastest_one_too(tmp_path, name, detail, remedy):
    check = only(check_power(machine(tmp_path, name), Fake(), tmp_path))
    assert (check.detail, check.remedy) == (detail, remedy)


def test_without_maxn_the_mode_of_most_watts_is_the_fastest(tmp_path):
    board = machine(tmp_path, "orin-nano")
    write(tmp_path, {"etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MODE_15W >\n< POWER_MODEL ID=1 NAME=7W >\n"})
    assert "the fastest of this board is 0 (MODE_15W)" in only(check_power(board, Fake(), tmp_path)).detail


def test_a_container_without_nvpmodel_says_where_to_ask(tmp_path):
    board = machine(tmp_path, "orin-nano")
    (tmp_path / "usr/sbin/nvpmodel").unlink()
    check = only(check_power(board, Fake(), tmp_path))
    assert check.status == "info"
    assert "nvpmodel cannot be started" in check.detail
    assert check.remedy


def test_a_small_board_with_zram_alone_gets_the_command_for_swap(tmp_path):
    memory, swap = check_memory(machine(tmp_path, "orin-nano"), Fake(), tmp_path)
    assert (memory.status, memory.detail) == ("ok", "4.0 GiB free of 7.4 GiB")
    assert swap.detail.startswith("3.7 GiB free of 3.7 GiB, all of it zram")
    assert swap.remedy.startswith("sudo fallocate -l 8G /swapfile && ")
    write(tmp_path, {"proc/swaps": "Filename Type Size Used Priority\n/swap file file 8388604 4 -2\n"})
    _, swap = check_memory(machine(tmp_path / "other", "orin-nano"), Fake(), tmp_path)
    assert (swap.status, swap.detail, swap.remedy) == ("ok", "8.0 GiB free of 8.0 GiB", "")


@pytest.mark.parametrize("text", ["", "Filename\n", "a b\nc d e f g h\n", "x x x x x\n/s file many none -2\n"])
def test_malformed_swaps_are_no_swap(tmp_path, text):
    assert find_swap(write(tmp_path, {"proc/swaps": text})).total == 0


def test_little_memory_on_a_board_ends_its_desktop(tmp_path):
    board = replace(machine(tmp_path, "orin-nano"), memory_available=1 << 30)
    memory, _ = check_memory(board, Fake(), tmp_path)
    assert memory.status == "problem"
    assert memory.remedy.startswith("sudo systemctl isolate multi-user.target")


@pytest.mark.parametrize(
    ("name", "error", "remedy"),
    [
        ("orin-nano", "no CUDA runtime library could be loaded", "apt-get install -y cuda-cudart-12-6"),
        ("thor", "no CUDA runtime library could be loaded", "apt-get install -y cuda-cudart-13-0"),
        ("desktop", "no CUDA runtime library could be loaded", "pip install nvidia-cuda-runtime"),
        ("orin-nano", "cudaGetDeviceCount failed: no CUDA-capable device is detected", "--runtime nvidia"),
        ("desktop", "cudaGetDeviceCount failed: the driver is too old", "nvidia-smi"),
    ],
)
def test_cuda_that_does_not_work_is_a_problem_with_a_command(tmp_path, name, error, remedy):
    answers = {"CudaRuntime": ProbeError(f"edgesr.errors.BackendError: {error}")}
    check = only(check_cuda(machine(tmp_path, name), python(name, answers=answers), tmp_path))
    assert (check.status, check.detail) == ("problem", error)
    assert remedy in check.remedy


def test_a_machine_without_a_gpu_is_not_asked_for_cuda(tmp_path):
    board = replace(machine(tmp_path, "desktop"), gpu=None)
    assert list(check_cuda(board, Fake(), tmp_path)) == []


def test_a_board_without_tensorrt_is_told_how_to_get_it(tmp_path):
    board = machine(tmp_path, "orin-nx")
    absent = only(check_tensorrt(board, python("orin-nx", modules={}), tmp_path))
    assert (absent.status, "apt-get install -y python3-libnvinfer" in absent.remedy) == ("problem", True)
    write(tmp_path, {"usr/lib/python3.10/dist-packages/tensorrt/__init__.py": ""})
    hidden = only(check_tensorrt(board, python("orin-nx", modules={}, isolated=True), tmp_path))
    assert (hidden.status, "--system-site-packages" in hidden.remedy) == ("problem", True)


def test_a_tensorrt_that_is_not_the_boards_is_told(tmp_path):
    given = {"answers": {"import tensorrt": "11.0.0"}, "installed": {**GOOD, "tensorrt": "11.0.0"}}
    check = only(check_tensorrt(machine(tmp_path, "orin-nano"), python("orin-nano", **given), tmp_path))
    assert check.detail.startswith("11.0.0, JetPack 6.1-6.2.2 brings 10.3.0")
    assert check.remedy.endswith("pip uninstall -y tensorrt")


def test_a_tensorrt_that_is_too_old_is_a_problem(tmp_path):
    given = {"answers": {"import tensorrt": "8.5.2"}}
    check = only(check_tensorrt(machine(tmp_path, "desktop"), python("desktop", **given), tmp_path))
    assert (check.status, check.detail) == ("problem", "8.5.2 is older than 8.6")
