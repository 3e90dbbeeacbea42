"""Timings of kernels: taken over, merged from builds at the same time, refused from elsewhere, replayed when locked."""

from __future__ import annotations

import errno
import json
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from edgesr.compile.builder import build_plan
from edgesr.compile.exchange import BuildRequest, write_request
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import fixed
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError, BuildError
from tests import networks
from tests.compile.test_build_process import child_double
from tests.compile.test_builder import IMAGE, half
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt

__all__ = ["child_double"]

OPTIONS = BuildOptions(profile=fixed({"x": (1, 2, 8, 8), "gain": (1,)}))
TAG = b"double-timing-cache\n"


@pytest.fixture(params=VERSIONS)
def double(request) -> Tensorrt:
    return Tensorrt(request.param, FakeCudart())


@pytest.fixture
def api(double) -> TensorRt:
    return TensorRt(double.module)


@pytest.fixture
def network(tmp_path) -> Path:
    return networks.affine(tmp_path / "a.onnx")


def entries(file: Path) -> dict[str, float]:
    content = file.read_bytes()
    assert content.startswith(TAG)
    return json.loads(content[len(TAG) :])["entries"]


def test_timings_are_taken_over(double, api, network, tmp_path):
    timings = tmp_path / "kept" / "t.timings"
    build_plan(api, network, OPTIONS, timings=timings)
    timed = double.tactics_timed
    assert timed == len(entries(timings)) > 0
    again = build_plan(api, network, OPTIONS, timings=timings)
    assert double.tactics_timed == timed
    assert again.notes == ()
    assert [path.name for path in timings.parent.iterdir()] == ["t.timings"]


@pytest.mark.parametrize("content", [b"damaged", TAG + b'{"made_for": ["9.9.9", "1.0"], "entries": {"a": 1}}'])
def test_timings_of_elsewhere_are_replaced(api, network, tmp_path, content):
    timings = tmp_path / "t.timings"
    timings.write_bytes(content)
    assert "starts anew" in build_plan(api, network, OPTIONS, timings=timings).notes[0]
    assert "a" not in entries(timings)
    assert build_plan(api, network, OPTIONS, timings=timings).notes == ()


def test_a_build_keeps_what_others_measured_in_the_meantime(double, api, network, tmp_path):
    """Another build finishes, with a timing of its own for a shared layer, while this one measures."""
    timings = tmp_path / "t.timings"
    build_plan(api, network, OPTIONS, timings=tmp_path / "mine")
    first = next(iter(entries(tmp_path / "mine")))
    theirs = json.dumps({"made_for": double.made_for, "entries": {"other": 7.0, first: 9.0}}).encode()
    double.faults["build"] = lambda: timings.write_bytes(TAG + theirs) and None
    build_plan(api, network, OPTIONS, timings=timings)
    merged = entries(timings)
    assert merged["other"] == 7.0
    assert merged[first] == 9.0
    assert set(merged) == {"other", *entries(tmp_path / "mine")}


def test_a_build_whose_timings_cannot_be_kept_is_not_lost(api, network, tmp_path):
    (tmp_path / "full").touch()
    timings = tmp_path / "full" / "t.timings"
    built = build_plan(api, network, OPTIONS, timings=timings)
    assert built.plan
    assert any("t.timings: the timings cannot be written: " in note for note in built.notes)
    if api.version >= (10, 13):
        with pytest.raises(BuildError, match=r"the timings cannot be written: .*; --locked needs them"):
            build_plan(api, network, replace(OPTIONS, locked=""), timings=timings)


def test_timings_that_cannot_be_read_are_left_alone(api, network, tmp_path, monkeypatch):
    timings = tmp_path / "t.timings"
    build_plan(api, network, OPTIONS, timings=timings)
    kept, read = timings.read_bytes(), Path.read_bytes
    no_entry = PermissionError(errno.EACCES, "Permission denied")
    denied = MagicMock(side_effect=no_entry)
    monkeypatch.setattr(Path, "read_bytes", lambda path: denied() if path == timings else read(path))
    built = build_plan(api, network, OPTIONS, timings=timings)
    assert built.notes[0] == "the timing cache cannot be read (Permission denied) and is not used"
    assert "the timings cannot be written: Permission denied" in built.notes[1]
    monkeypatch.undo()
    assert timings.read_bytes() == kept


def test_builds_at_the_same_time_lose_no_timing(double, api, network, tmp_path):
    timings = tmp_path / "t.timings"
    double.faults["seconds_per_layer"] = 0.05
    works = [(network, OPTIONS), (half(tmp_path), IMAGE)]
    threads = [threading.Thread(target=build_plan, args=(api, *work), kwargs={"timings": timings}) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {}
    for index, work in enumerate(works):
        build_plan(api, *work, timings=tmp_path / f"{index}.timings")
        alone |= entries(tmp_path / f"{index}.timings")
    assert entries(timings) == alone


def test_locked_builds_replay_recorded_timings_or_fail(double, api, network, tmp_path):
    timings = tmp_path / "t.timings"
    record = BuildOptions(profile=OPTIONS.profile, locked="")
    replay = BuildOptions(profile=OPTIONS.profile, locked="digest")
    if double.version < (10, 13):
        with pytest.raises(BackendError, match=r"which --locked needs; use 10\.13"):
            build_plan(api, network, record, timings=timings)
        return
    first = build_plan(api, network, record, timings=timings)
    kept, timed = timings.read_bytes(), double.tactics_timed
    second = build_plan(api, network, replay, timings=timings)
    assert double.tactics_timed == timed
    assert timings.read_bytes() == kept
    assert len(first.plan) > 0 < len(second.plan)
    with pytest.raises(BuildError, match=r"timing cache miss.*may not cover this build: delete it"):
        build_plan(api, half(tmp_path), BuildOptions(profile=IMAGE.profile, locked="digest"), timings=timings)
    timings.write_bytes(b"damaged")
    with pytest.raises(BuildError, match=r"t\.timings: the timing cache is of another.*record new timings"):
        build_plan(api, network, replay, timings=timings)


def test_children_killed_at_any_moment_leave_whole_timings(network, child_double, tmp_path):
    child_double("10.3.0")
    timings = tmp_path / "kept" / "t.timings"
    rng = random.Random(3)
    api = TensorRt(Tensorrt("10.3.0", FakeCudart()).module)
    build_plan(api, network, OPTIONS, timings=timings)
    known = entries(timings)
    ended = []
    for index in range(5):
        folder = tmp_path / f"build{index}"
        folder.mkdir()
        write_request(folder, BuildRequest(half(tmp_path), IMAGE, timings=timings))
        child = subprocess.Popen([sys.executable, "-m", "edgesr.compile.child", str(folder)])
        deadline = time.monotonic() + 60
        while not (folder / "events").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        ended.append(child.wait())
        assert known.items() <= entries(timings).items()
    assert -signal.SIGKILL in ended
    assert build_plan(api, network, OPTIONS, timings=timings).notes == ()
