"""Engines are built once, found again, never served damaged, and survive killed builders."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgesr.compile.engine_cache import EngineCache
from edgesr.compile.engine_record import FORMAT, engine_facts, key_of, machine_facts
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.compile.shapes import fixed
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import AccuracyError, BuildError, StaleEngineError
from edgesr.model.atomic import replacing
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt
from tests.fakes.trt_plan import Plan

ROOT = Path(__file__).parents[2]
MACHINE = {"tensorrt": "10.3.0", "cuda": "12.6", "gpu": "G", "compute_capability": "8.7", "sm_count": 8, "l4t": ""}
FACTS = engine_facts("0" * 64, MACHINE, BuildOptions())
PLAN = Plan((10, 3, 0, 26), b"network", "8.7").serialize()


class Builds:
    """A builder that counts, with the timings that it found; it adds to them as the real one does."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, timings: Path) -> BuiltPlan:
        self.given.append(timings.read_bytes() if timings.exists() else b"")
        with replacing(timings) as stream:
            stream.write(b"timings")
        return BuiltPlan(PLAN, ("careful",))


def refuse(timings: Path) -> BuiltPlan:
    raise AssertionError("built again")


@pytest.fixture
def cache(tmp_path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_an_engine_is_built_once(cache):
    builds = Builds()
    path = cache.take(FACTS, builds, model="m")
    assert path.read_bytes() == PLAN
    assert cache.take(FACTS, refuse, model="m") == path
    assert builds.given == [b""]
    (entry,) = cache.entries()
    assert (entry.path, entry.model, entry.size) == (path, "m", len(PLAN))
    assert entry.facts == FACTS
    assert sorted(p.suffix for p in cache.folder.iterdir()) == [".engine", ".json", ".timings"]


def test_the_default_folder_is_the_users_cache(own_home):
    assert EngineCache().folder == own_home / "cache" / "edgesr" / "engines"


def test_timings_are_shared_by_the_engines_of_a_machine_alone(cache):
    builds = Builds()
    cache.take(FACTS, builds, model="m")
    cache.take(engine_facts("1" * 64, MACHINE, BuildOptions()), builds, model="n")
    cache.take(engine_facts("1" * 64, {**MACHINE, "sm_count": 16}, BuildOptions()), builds, model="n")
    assert builds.given == [b"", b"timings", b""]


@pytest.mark.parametrize(
    "other",
    [
        engine_facts("1" * 64, MACHINE, BuildOptions()),
        *(engine_facts("0" * 64, {**MACHINE, name: "x"}, BuildOptions()) for name in MACHINE),
        engine_facts("0" * 64, MACHINE, BuildOptions(profile=fixed({"x": (1, 2)}))),
        engine_facts("0" * 64, MACHINE, BuildOptions(workspace=1)),
        engine_facts("0" * 64, MACHINE, BuildOptions(fp16=True)),
        engine_facts("0" * 64, MACHINE, BuildOptions(optimization_level=3)),
        engine_facts("0" * 64, MACHINE, BuildOptions(max_aux_streams=0)),
        engine_facts("0" * 64, MACHINE, BuildOptions(tf32=False)),
        engine_facts("0" * 64, MACHINE, BuildOptions(version_compatible=True)),
        engine_facts("0" * 64, MACHINE, BuildOptions(hardware_compatible=True)),
        engine_facts("0" * 64, MACHINE, BuildOptions(dla_core=0)),
        engine_facts("0" * 64, MACHINE, BuildOptions(locked="")),
        {**FACTS, "format": FORMAT + 1},
    ],
)
def test_everything_that_matters_changes_the_key(other):
    assert key_of(other) != key_of(FACTS)


def test_the_key_is_that_of_the_facts_and_not_of_their_order():
    assert key_of(dict(reversed(FACTS.items()))) == key_of(FACTS)
    assert key_of(json.loads(json.dumps(FACTS))) == key_of(FACTS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_machine_is_described(version):
    fake = FakeCudart()
    facts = machine_facts(TensorRt(Tensorrt(version, fake).module), Device(CudaRuntime(fake, "fake"), 0))
    assert facts["tensorrt"] == version
    assert facts["cuda"] == "12.6"
    assert facts["gpu"] == fake.gpus[0].name
    assert set(facts) == set(MACHINE)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def forge(path: Path) -> None:
    """Another TensorRT's plan under a matching hash."""
    import hashlib

    plan = Plan((8, 6, 1, 6), b"network", "8.7").serialize()
    path.write_bytes(plan)
    sidecar = path.with_suffix(".json")
    record = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**record, "sha256": hashlib.sha256(plan).hexdigest()}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "damaged"),
        (flip, "damaged"),
        (forge, "is of TensorRT 8.6.1"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.unlink(), "cannot be used"),
        (lambda path: cut(path.with_suffix(".json")), "damaged record"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "damaged record"),
        (lambda path: path.with_suffix(".json").write_bytes(b"\xff"), "damaged record"),
        (lambda path: path.with_suffix(".json").unlink(), None),
    ],
)
def test_a_damaged_entry_is_built_again_with_one_line(cache, damage, said):
    path = cache.take(FACTS, Builds(), model="m")
    damage(path)
    notes: list[str] = []
    assert cache.take(FACTS, Builds(), model="m", note=notes.append).read_bytes() == PLAN
    assert len(notes) == (said is not None)
    assert all(said in text and "\n" not in text for text in notes)
    assert cache.take(FACTS, refuse, model="m") == path


def test_a_failed_build_leaves_nothing_and_the_next_one_works(cache):
    def fail(timings: Path) -> BuiltPlan:
        raise BuildError("no")

    with pytest.raises(BuildError, match=r"^no$"):
        cache.take(FACTS, fail, model="m")
    assert list(cache.folder.iterdir()) == []
    cache.take(FACTS, Builds(), model="m")


def test_an_engine_that_fails_its_proof_is_not_kept(cache):
    def wrong(path: Path) -> dict[str, object]:
        assert path.read_bytes() == PLAN
        raise AccuracyError("too far")

    with pytest.raises(AccuracyError, match="too far"):
        cache.take(FACTS, Builds(), model="m", prove=wrong)
    assert [path.suffix for path in cache.folder.iterdir()] == [".timings"]
    path = cache.take(FACTS, Builds(), model="m", prove=lambda path: {"min_psnr": 70.0})
    assert cache.record(path)["proof"] == {"min_psnr": 70.0}
    with pytest.raises(AccuracyError, match="too far"):
        cache.take(FACTS, refuse, model="m", prove=wrong)
    assert cache.take(FACTS, refuse, model="m") == path


def test_an_engine_that_does_not_load_is_built_again_with_one_line(cache):
    path = cache.take(FACTS, Builds(), model="m")
    loads, notes = [], []

    def load(path: Path) -> dict[str, object]:
        loads.append(path)
        if len(loads) < 3:
            raise StaleEngineError("the driver is new")
        return {}

    assert cache.take(FACTS, Builds(), model="m", note=notes.append, prove=load) == path
    assert notes == ["the cached engine of m does not load (the driver is new) and is built again"]
    assert len(loads) == 3
    assert cache.take(FACTS, refuse, model="m", prove=load) == path


def test_an_engine_that_a_user_tuned_is_found_and_others_are_not(cache):
    assert cache.like(FACTS) is None
    options = BuildOptions(optimization_level=5, workspace=1, max_aux_streams=0, locked="")
    path = cache.take(engine_facts("0" * 64, MACHINE, options), Builds(), model="m")
    assert cache.like(FACTS) == path
    for other in (BuildOptions(version_compatible=True), BuildOptions(dla_core=0), BuildOptions(fp16=True)):
        assert cache.like(engine_facts("0" * 64, MACHINE, other)) is None
    flip(path)
    assert cache.like(FACTS) is None


def test_the_last_build_of_a_network_is_remembered_for_any_shapes(cache):
    def slow(timings: Path) -> BuiltPlan:
        time.sleep(0.05)
        return BuiltPlan(PLAN)

    cache.take(FACTS, slow, model="m")
    assert 0.05 <= (cache.last_seconds("0" * 64) or 0) < 5
    assert cache.last_seconds("1" * 64) is None


def test_an_unusable_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BuildError, match="set XDG_CACHE_HOME"):
        EngineCache(tmp_path / "file" / "engines").take(FACTS, Builds(), model="m")


def test_threads_build_once_and_wait_for_each_other(cache):
    builds, notes = Builds(), []

    def slow(timings: Path) -> BuiltPlan:
        time.sleep(0.3)
        return builds(timings)

    threads = [threading.Thread(target=lambda: cache.take(FACTS, slow, model="m", note=notes.append)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds.given) == 1
    assert notes == ["waits for the build of m's engine"] * 3


def test_clear_frees_all_but_running_builds(cache):
    assert cache.clear() == 0
    cache.take(FACTS, Builds(), model="m")
    (cache.folder / f".{key_of(FACTS)}.engine.0123456789ab.tmp").write_bytes(b"left over")
    (cache.folder / "of the user.txt").write_text("stays")

    def clears(timings: Path) -> BuiltPlan:
        assert cache.clear() > len(PLAN)
        assert (cache.folder / f"{key_of(other)}.lock").exists()
        return Builds()(timings)

    other = engine_facts("1" * 64, MACHINE, BuildOptions())
    path = cache.take(other, clears, model="n")
    assert [entry.path for entry in cache.entries()] == [path]
    cache.clear()
    assert [p.name for p in cache.folder.iterdir()] == ["of the user.txt"]


PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.compile.test_engine_cache import BuiltPlan, EngineCache, FACTS, PLAN
folder, log, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
def build(timings):
    with log.open("a") as file: file.write("built\\n")
    time.sleep(pause)
    return BuiltPlan(PLAN)
print("ready", flush=True)
sys.stdin.readline()
repeat = int(sys.argv[4])
for _ in range(repeat):
    path = EngineCache(folder).take(FACTS, build, model="m")
    assert path.read_bytes() == PLAN
    if repeat > 1: EngineCache(folder).clear()
"""


def started(folder: Path, log: Path, pause: float = 0.0, repeat: int = 1) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(root=str(ROOT)), str(folder), str(log), str(pause), str(repeat)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def end(child: subprocess.Popen[str]) -> int:
    child.communicate()
    return child.returncode


def test_two_processes_build_once(cache, tmp_path):
    log = tmp_path / "log"
    children = [started(cache.folder, log, 0.3) for _ in range(2)]
    for child in children:
        go(child)
    assert [end(child) for child in children] == [0, 0]
    assert log.read_text() == "built\n"


def test_builders_killed_at_any_moment_leave_no_broken_entry(cache, tmp_path):
    """Entries are made and cleared in a loop until the kill; what is then there is whole, or built again in peace."""
    rng = random.Random(7)
    for _ in range(6):
        child = started(cache.folder, tmp_path / "log", 0.0, repeat=1_000_000)
        go(child)
        time.sleep(rng.uniform(0.0, 0.08))
        child.send_signal(signal.SIGKILL)
        assert end(child) == -signal.SIGKILL
        notes: list[str] = []
        for entry in cache.entries():
            assert entry.path.read_bytes() == PLAN
        path = cache.take(FACTS, Builds(), model="m", note=notes.append)
        assert path.read_bytes() == PLAN
        assert notes == []
        assert not list(cache.folder.glob(".*.engine.*.tmp"))
