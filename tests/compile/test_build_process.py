"""Builds in a child process: the real one on the double of TensorRT, and every way in which one can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgesr.compile.build_process import Ended, Watch, build_in_process, survey_in_process
from edgesr.compile.child import build_proven, main
from edgesr.compile.exchange import BuildRequest, read_request, write_answer, write_error, write_request
from edgesr.compile.limits import LEAST_WORKSPACE
from edgesr.compile.proof import count_layers, inspect_plan, require_precision
from edgesr.compile.recipe import BuildOptions, BuiltPlan, Limits, Survey
from edgesr.compile.shapes import fixed
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError, BuildError
from tests import networks
from tests.compile.test_builder import IMAGE, half, quantised
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt
from tests.fakes.trt_module import site_folder

SHAPES = {"x": (1, 2, 8, 8), "gain": (1,)}
MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def request_(tmp_path) -> BuildRequest:
    return BuildRequest(networks.affine(tmp_path / "a.onnx"), BuildOptions(profile=fixed(SHAPES)))


@pytest.fixture
def child_double(tmp_path, monkeypatch):
    """Let child processes import the double as tensorrt."""

    def use(version: str, **faults: object) -> None:
        monkeypatch.setenv("PYTHONPATH", str(site_folder(tmp_path / "site")))
        monkeypatch.setenv("DOUBLE_TENSORRT_VERSION", version)
        monkeypatch.setenv("DOUBLE_TENSORRT_FAULTS", json.dumps(faults))

    return use


@pytest.mark.parametrize("version", VERSIONS)
def test_a_child_builds_what_this_process_would(version, request_, child_double):
    child_double(version)
    built = build_in_process(request_)
    here = build_proven(TensorRt(Tensorrt(version, FakeCudart()).module), request_)
    assert built == here
    assert built.plan


def test_errors_of_the_child_keep_their_kind_and_line(request_, child_double, monkeypatch):
    child_double("10.3.0", build="Error Code 9: something odd")
    with pytest.raises(BuildError, match=r"a\.onnx: TensorRT 10\.3\.0 failed.*something odd"):
        build_in_process(request_)
    child_double("10.3.0", builder="no GPU")
    with pytest.raises(BackendError, match="does not start"):
        build_in_process(request_)
    monkeypatch.setenv("DOUBLE_TENSORRT_VERSION", "1.2.3.4.5")
    with pytest.raises(BuildError, match="the building process ended with code 1"):
        build_in_process(request_)


class Script:
    """Stands for child processes: each ends as the next step says."""

    def __init__(self, *steps) -> None:
        self.steps = list(steps)
        self.workspaces: list[int | None] = []

    def __call__(self, folder, look) -> Ended:
        self.workspaces.append(read_request(folder).limits.workspace)
        step = self.steps.pop(0)
        if isinstance(step, BuiltPlan):
            write_answer(folder, step)
        elif isinstance(step, Exception):
            write_error(folder, step)
        else:
            return Ended(step, "Traceback\nValueError: odd\n\n")
        return Ended(0, "")


GOOD = BuiltPlan(b"plan", ("w",), ("n",))


def with_workspace(request: BuildRequest, workspace: int | None) -> BuildRequest:
    return BuildRequest(request.onnx, BuildOptions(), limits=Limits(workspace, 4 * GIB))


@pytest.mark.parametrize(
    "failure",
    [-signal.SIGKILL, -signal.SIGSEGV, BuildError("OutOfMemory (the device has too little free memory); close")],
)
@pytest.mark.parametrize(
    ("workspace", "second"), [(512 * MIB, 256 * MIB), (None, 256 * MIB), (40 * MIB, LEAST_WORKSPACE)]
)
def test_a_killed_build_is_tried_once_more_with_half_the_workspace(request_, failure, workspace, second):
    script = Script(failure, GOOD)
    built = build_in_process(with_workspace(request_, workspace), spawn=script)
    assert script.workspaces == [workspace, second]
    assert (built.plan, built.warnings) == (b"plan", ("w",))
    assert built.limits == Limits(second, 2 * GIB)
    assert "the first build failed" in built.notes[-1]


def test_a_build_that_is_killed_twice_fails_with_one_line(request_):
    script = Script(-signal.SIGKILL, -signal.SIGKILL)
    with pytest.raises(BuildError, match=r"memory ran out; .*also tried with 128 MiB") as caught:
        build_in_process(with_workspace(request_, 256 * MIB), spawn=script)
    assert type(caught.value).exit_code == 4
    with pytest.raises(BuildError, match="SIGSEGV"):
        build_in_process(with_workspace(request_, LEAST_WORKSPACE), spawn=Script(-signal.SIGSEGV))


def test_other_failures_are_not_tried_again(request_):
    with pytest.raises(BuildError, match=r"ended with code 3: ValueError: odd"):
        build_in_process(request_, spawn=Script(3))
    with pytest.raises(BuildError, match="no such operator"):
        build_in_process(request_, spawn=Script(BuildError("no such operator")))
    with pytest.raises(BuildError, match="ended with code 0"):
        build_in_process(request_, spawn=lambda folder, look: Ended(0, ""))


def test_a_real_child_that_dies_is_explained(request_, tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    (site / "tensorrt.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site)]))
    with pytest.raises(BuildError, match="the system stopped the build"):
        build_in_process(request_)


def test_without_tensorrt_the_child_says_so(request_, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    write_request(tmp_path, request_)
    main(tmp_path)
    assert json.loads((tmp_path / "answer.json").read_text())["kind"] == "BackendError"


def test_the_waiting_process_is_told_the_phases_and_the_survey(request_, child_double):
    child_double("10.3.0", seconds_per_layer=0.1)
    phases: list[str] = []
    surveys: list[Survey] = []
    build_in_process(request_, watch=Watch(phases.append, surveys.append))
    assert list(dict.fromkeys(phases))[-2:] == ["measuring kernels", "checking its precision"]
    assert [survey.layers for survey in surveys] == [3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_survey_builds_nothing(version, request_, child_double):
    child_double(version, build="never")
    assert survey_in_process(request_) == Survey(3)


def test_a_child_ends_with_the_process_that_waits_for_it(request_, child_double, tmp_path):
    """The parent is killed while kernels are measured; its child must not go on measuring for nobody."""
    child_double("10.3.0", seconds_per_layer=30)
    write_request(tmp_path, request_)
    program = (
        "import sys; from pathlib import Path; from edgesr.compile.build_process import spawn_child;"
        "spawn_child(Path(sys.argv[1]), lambda: print('waits', flush=True))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    events = tmp_path / "events"
    deadline = time.monotonic() + 60
    while not (events.exists() and "measuring" in events.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.communicate()
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Proof of the precision


@pytest.fixture(params=VERSIONS)
def double(request) -> Tensorrt:
    return Tensorrt(request.param, FakeCudart())


def test_layers_are_counted_by_type(double, tmp_path):
    api = TensorRt(double.module)
    for make, kind in ((half, "fp16"), (quantised, "int8")):
        built = build_proven(api, BuildRequest(make(tmp_path), IMAGE))
        layers = inspect_plan(api, built.plan)
        if double.version >= (10,):
            assert layers.counts[kind] >= 1
            assert f"in {kind}" in built.notes[-1]
        else:  # 8.6 tells no types of engines with dynamic shapes
            assert not layers.is_told
            assert "is not proven" in built.notes[0]


def test_fp16_that_came_out_in_fp32_is_an_error(double, tmp_path):
    double.faults["precision"] = "Float"
    request = BuildRequest(half(tmp_path), IMAGE)
    if double.version < (10,):
        return
    with pytest.raises(
        BuildError, match=r"half\.onnx: FP16 was asked for and no layer of the engine uses it \(\d+ in fp32"
    ):
        build_proven(TensorRt(double.module), request)


def test_formats_of_all_versions_are_read():
    def layer(**tensor):
        return {"Name": "l", "Inputs": [], "Outputs": [tensor]}

    old = {"Layers": [layer(**{"Format/Datatype": "Row major linear FP16 format"}), "only a name"]}
    ten = {"Layers": [layer(**{"Format/Datatype": "Int8"})]}
    new = {"Layers": [layer(DataType="Float", Format="Row major linear FP32 format (kLINEAR)")]}
    assert count_layers(json.dumps(old)).counts == {"fp16": 1}
    assert count_layers(json.dumps(old)).unknown == 1
    assert count_layers(json.dumps(ten)).counts == {"int8": 1}
    assert count_layers(json.dumps(new)).counts == {"fp32": 1}
    for text in ("", "[]", '{"Layers": []}'):
        assert not count_layers(text).is_told
    assert require_precision(count_layers(""), frozenset(), what="x") == []
