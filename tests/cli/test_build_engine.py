"""Engines made by ``edgesr build``: files, shapes, settings, dry runs and gates, on the doubles of TensorRT."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgesr.cli import main
from edgesr.compile.engine_cache import EngineCache
from edgesr.compile.inspection import describe_engine
from edgesr.engines.plan import read_plan_header
from edgesr.pipelines.load import load
from tests import networks
from tests.compile import samples
from tests.fakes.cudart import Gpu
from tests.fakes.onnx_executor import Executor
from tests.fakes.tensorrt import VERSIONS
from tests.fakes.trt_module import site_folder
from tests.fakes.trt_plan import Plan, deserialize
from tests.pipelines.test_tensorrt import Machine, make_package

DESKTOP = Gpu("Fake 4090", (8, 9), 128, is_integrated=False, total_memory=24 << 30)
ROOT = Path(__file__).parents[2]
AFFINE = ["--shapes", "x:1x2x8x8,gain:1"]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    made = Machine("10.16.1.11", monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    yield made
    made.fake.check()
    assert "tensorrt" not in sys.modules


@pytest.fixture
def affine(tmp_path):
    return networks.affine(tmp_path / "affine.onnx")


def build(capsys, *words) -> dict:
    code = main(["build", *map(str, words), "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return json.loads(shown.out)


def failed(capsys, *words) -> tuple[int, str]:
    code = main(["build", *map(str, words)])
    shown = capsys.readouterr()
    assert shown.out == ""
    return code, shown.err


def opened(machine, path) -> Plan:
    plan = deserialize(path.read_bytes(), machine.double.version, machine.double.machine.compute_capability)
    assert isinstance(plan, Plan), plan
    return plan


@pytest.mark.parametrize("version", VERSIONS)
def test_an_onnx_file_becomes_an_engine_file_with_its_record(version, monkeypatch, tmp_path, capsys):
    machine = Machine(version, monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    samples.attention(tmp_path)
    output = tmp_path / "out" / "a.engine"
    said = build(capsys, "--onnx", tmp_path / "attention.onnx", "--fp16", "-o", output, "--shapes", "x:1x9x16")
    assert said["output"] == said["engine"]["path"] == str(output)
    assert said["target"] == "engine"
    assert read_plan_header(output).is_from(machine.double.version)
    assert opened(machine, output).profiles == []
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert record["proof"]["pictures"] == 3
    assert record["model"] == "attention-fp16"
    assert sorted(path.name for path in output.parent.iterdir()) == ["a.engine", "a.json"]
    with monkeypatch.context() as elsewhere:
        elsewhere.setitem(sys.modules, "tensorrt", None)
        assert describe_engine(output)["record"]["model"] == "attention-fp16"
    machine.fake.check()


def test_a_package_becomes_an_engine_file_for_the_tile_asked_for(machine, tmp_path, capsys):
    said = build(capsys, make_package(tmp_path), "--tile", "48", "-o", "tiny.plan", "--workspace", "64M")
    assert opened(machine, tmp_path / "tiny.plan").profiles == [
        {"image": [[1, 1, 1, 1], [1, 1, 48, 48], [1, 1, 48, 48]]}
    ]
    assert said["engine"]["facts"]["options"]["workspace"] == 64 << 20
    assert said["engine"]["limits"]["workspace"] == 64 << 20
    assert said["engine"]["proof"]["min_psnr"] > 120
    assert any("the engine itself, against FP32: PSNR at least" in text for text in said["notes"])


def test_every_setting_reaches_the_record_and_run_takes_the_tuned_engine(machine, tmp_path, capsys):
    package = make_package(tmp_path)
    output = tmp_path / "typed.edgesr"
    words = ["--tile", 48, "--opt-level", 1, "--max-aux-streams", 2, "--workspace", "1G", "-o", output]
    options = build(capsys, package, *words)["engine"]["facts"]["options"]
    assert (options["optimization_level"], options["max_aux_streams"], options["workspace"]) == (1, 2, 1 << 30)
    notes: list[str] = []
    with load(output, "tensorrt", tile=48, note=notes.append) as restorer:
        assert restorer(np.zeros((8, 8), np.uint8)).shape == (16, 16)
    assert notes == []
    assert len(EngineCache().entries()) == 1


def test_a_range_of_shapes_becomes_the_profile(machine, affine, tmp_path, capsys):
    shapes = ["--min-shapes", "x:1x2x4x4", "--opt-shapes", "x:1x2x8x8,gain:1", "--max-shapes", "x:1x2x16x16"]
    said = build(capsys, "--onnx", affine, "-o", "a.engine", *shapes)
    assert opened(machine, tmp_path / "a.engine").profiles[0]["x"] == [[1, 2, 4, 4], [1, 2, 8, 8], [1, 2, 16, 16]]
    assert said["calibration"]["data"].startswith("random tensors")
    assert said["engine"]["proof"]["pictures"] == 6


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--target", "engine"], 2, "input 'x' has shape ?x2x?x?; say its sizes, e.g. --shapes x:64x2x64x64"),
        (["--shapes", "y:1"], 2, "has no input 'y'; its inputs are x, gain"),
        (["--shapes", "x:1x3x8x8,gain:1"], 2, "input 'x' has shape ?x2x?x?, got 1x3x8x8"),
        (["--shapes", "x=1"], 2, "expected shapes such as image:1x3x64x64, got 'x=1'"),
        (["--min-shapes", "x:1x2x4x4"], 2, "give it with --opt-shapes"),
        ([*AFFINE, "--tile", "8"], 2, "give one of --tile, --shapes"),
        ([*AFFINE, "--target", "onnx"], 2, "--target onnx makes no engine; leave it out, or leave out --shapes"),
        (["--target", "onnx", "-o", "a.engine"], 2, "leave out -o a.engine"),
        ([*AFFINE, "--locked"], 2, "say where with -o NAME.engine"),
        ([*AFFINE, "--locked", "--auto", "-o", "a.engine"], 2, "name it in place of --auto"),
        ([*AFFINE, "--dla", "0"], 2, "give --dla with --fp16 or --int8"),
        (["--min-shapes", "x:1x2x4x4", "--opt-shapes", "x:1x2x8x8,gain:1", "--dla", "0", "--fp16"], 2, "one shape"),
        (
            [*AFFINE, "--dla", "0", "--fp16"],
            3,
            "has no DLA that TensorRT can use, and DLA core 0 was asked for",
        ),
        ([*AFFINE, "--workspace", "512"], 2, "expected a size such as 512M or 2G, got '512'"),
        ([*AFFINE, "--workspace", "1M"], 2, "expected at least 32M, got '1M'"),
        ([*AFFINE, "--opt-level", "6"], 2, "expected a whole number from 0 to 5, got '6'"),
        ([*AFFINE, "-o", "."], 2, "is a folder"),
        ([*AFFINE, "-o", "mine.engine"], 2, "mine.json: is no engine's record and would be replaced"),
    ],
)
def test_wrong_settings_exit_with_one_line(machine, affine, tmp_path, capsys, words, code, text):
    (tmp_path / "mine.json").write_text("{}")
    if words[-1] == ".":
        (tmp_path / "folder.engine").mkdir()
        words = [*words[:-1], "folder.engine"]
    before = sorted(tmp_path.iterdir())
    found = failed(capsys, "--onnx", affine, *words)
    assert found[0] == code, found
    assert text in found[1]
    assert sorted(tmp_path.iterdir()) == before
    assert EngineCache().entries() == []


def test_a_dry_run_says_what_would_be_built_and_writes_nothing(machine, affine, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    words = ["--onnx", affine, *AFFINE, "-o", "a.engine"]
    said = build(capsys, *words, "--dry-run")
    assert sorted(tmp_path.iterdir()) == before
    assert EngineCache().entries() == []
    assert said["shapes"] == "x:1x2x8x8"
    assert said["survey"].startswith("TensorRT reads it as")
    assert said["workspace"].endswith("MiB")
    assert said["is_cached"] is False
    assert build(capsys, *words)["engine"]["key"] == said["key"]
    assert build(capsys, *words, "--dry-run")["is_cached"] is True
    assert main(["build", *map(str, words), "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert f"key: {said['key']}" in shown.out
    assert "nothing was written" in shown.err


def test_a_dry_run_without_tensorrt_says_what_the_tables_know(affine, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = build(capsys, "--onnx", affine, *AFFINE, "--dry-run")
    assert said["no_engine"] == "TensorRT is not here"
    assert said["shapes"] == "x:1x2x8x8"
    assert said["tensorrt"]["10.3"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["affine.onnx"]


def unsupported(folder):
    nodes = [
        helper.make_node("BitwiseNot", ["x"], ["a"], name="first"),
        helper.make_node("BitwiseAnd", ["a", "x"], ["b"], name="second"),
        helper.make_node("Cast", ["b"], ["y"], to=1),
    ]
    inputs = [networks.tensor("x", 1, 4, kind=6)]
    return networks.save(folder / "bits.onnx", nodes, inputs, [networks.tensor("y", 1, 4)], {}, opset=18)


def test_unknown_operators_are_all_named_before_anything_is_calibrated(machine, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("edgesr.cli.build.record_ranges", lambda *args, **options: pytest.fail("it was calibrated"))
    for words in (["-o", "b.engine"], ["--target", "engine", "--dry-run"]):
        code, error = failed(capsys, "--onnx", unsupported(tmp_path), "--fp16", *words)
        assert code == 4
        line = error.splitlines()[-1]
        assert "TensorRT 10.16.1.11 does not take operators BitwiseNot ('first'): use logical operators" in line
        assert "; BitwiseAnd ('second'): use logical operators on booleans" in line
        assert "its own parser decides" in error


def test_a_portable_engine_says_what_it_costs(monkeypatch, tmp_path, affine, capsys):
    for gpu, flags in ((DESKTOP, {"VERSION_COMPATIBLE", "AMPERE_PLUS"}), (Gpu(), {"VERSION_COMPATIBLE"})):
        machine = Machine("10.16.1.11", monkeypatch, tmp_path, gpu)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        said = build(capsys, "--onnx", affine, *AFFINE, "--portable", "-o", tmp_path / "p.engine")
        plan = Plan(**{**vars(opened(machine, tmp_path / "p.engine"))}) if gpu.is_integrated else None
        options = said["engine"]["facts"]["options"]
        assert options["version_compatible"] is True
        assert options["hardware_compatible"] is not gpu.is_integrated
        if plan is not None:
            assert flags <= set(plan.flags)
        assert any("is slower than one for this machine" in text for text in said["notes"])
        machine.fake.check()


def test_the_accelerator_is_surveyed_before_the_build(machine, tmp_path, capsys):
    machine.fail(dla_cores=2)
    package = make_package(tmp_path)
    words = [package, "--fp16", "--tile", 48, "--dla", 1, "-o", "d.engine"]
    assert "the DLA can take 5 of 11 layers" in build(capsys, *words, "--dry-run")["survey"]
    assert main(["build", *map(str, words)]) == 0
    error = capsys.readouterr().err
    assert "the DLA can take 5 of 11 layers" in error
    assert "the GPU runs the others:" in error
    assert "DLA" in opened(machine, tmp_path / "d.engine").flags
    code, error = failed(capsys, package, "--fp16", "--tile", 48, "--dla", 2, "-o", "e.engine")
    assert code == 3
    assert "has 2 DLA cores, counted from 0" in error


def test_a_locked_rebuild_takes_the_recorded_timings_or_fails(machine, affine, tmp_path, capsys):
    words = ["--onnx", affine, *AFFINE, "--locked", "-o", "l.engine"]
    assert any("records l.timings" in text for text in build(capsys, *words)["notes"])
    recorded = (tmp_path / "l.timings").read_bytes()
    said = build(capsys, *words)
    assert any("replays l.timings" in text for text in said["notes"])
    assert said["engine"]["facts"]["options"]["locked"] == hashlib.sha256(recorded).hexdigest()
    assert (tmp_path / "l.timings").read_bytes() == recorded
    EngineCache().clear()
    assert build(capsys, *words)["engine"]["key"] == said["engine"]["key"]
    (tmp_path / "l.timings").write_bytes(b"damaged")
    code, error = failed(capsys, *words)
    assert code == 4
    assert "record new timings" in error


def test_locked_builds_need_a_version_that_has_them(monkeypatch, tmp_path, affine, capsys):
    machine = Machine("10.3.0", monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    code, error = failed(capsys, "--onnx", affine, *AFFINE, "--locked", "-o", tmp_path / "l.engine")
    assert code == 3
    assert "TensorRT 10.3.0 cannot rebuild from recorded timings, which --locked needs; use 10.13 or newer" in error
    machine.fake.check()


def spoil(monkeypatch, factor):
    """Let engines give outputs that are off by a factor."""
    results = Executor.results

    def wrong(self, feeds):
        return {name: (array * factor).astype(array.dtype) for name, array in results(self, feeds).items()}

    def run(self, inputs, outputs):
        from tests.fakes.onnx_executor import view

        found = wrong(self, {name: view(*place, self.dtype(name)) for name, place in inputs.items()})
        for name, (address, shape) in outputs.items():
            np.copyto(view(address, shape, self.dtype(name)), found[name])

    monkeypatch.setattr(Executor, "run", run)


@pytest.mark.parametrize(("factor", "text"), [(0.9, "PSNR"), (np.nan, "NaN or infinite")])
def test_an_engine_that_misses_the_gate_is_not_kept(machine, tmp_path, capsys, monkeypatch, factor, text):
    package = make_package(tmp_path)
    spoil(monkeypatch, np.float32(factor))
    code, error = failed(capsys, package, "--fp16", "--tile", 48, "-o", "w.engine")
    assert code == 5
    assert "'s engine in fp16 missed its accuracy gate" in error
    assert text in error
    assert not (tmp_path / "w.engine").exists()
    assert EngineCache().entries() == []


def test_auto_ranks_engines_by_their_time_where_there_is_a_gpu(machine, tmp_path, capsys, monkeypatch):
    import edgesr.cli.build_engine as module

    times = iter((3.0, 2.0, 1.0, 4.0))
    monkeypatch.setattr(module, "engine_time", lambda *args: next(times))
    samples.attention(tmp_path)
    feeds = tmp_path / "feeds"
    feeds.mkdir()
    for index, feed in enumerate(samples.feeds(shape=(1, 9, 16))):
        np.savez(feeds / f"{index}.npz", **feed)
    words = ["--onnx", "attention.onnx", "--auto", "--min-psnr", "15", "--calib", feeds, "--shapes", "x:1x9x16"]
    said = build(capsys, *words, "-o", "a.engine")
    assert said["kind"] == min(said["milliseconds"], key=said["milliseconds"].get)
    assert any("chosen by the measured time of engines on this GPU" in text for text in said["notes"])
    assert (tmp_path / "a.engine").exists()


def test_auto_says_that_an_estimate_chose_where_there_is_none(tmp_path, capsys):
    said = build(capsys, make_package(tmp_path), "--auto", "-o", tmp_path / "a.edgesr")
    assert said["milliseconds"] == {}
    assert any("chosen by an estimate, nothing was timed: multiply-adds" in text for text in said["notes"])


def test_a_whole_engine_that_does_not_load_is_built_again_with_one_line(machine, tmp_path, capsys):
    package = make_package(tmp_path)
    load(package, "tensorrt", tile=48).close()
    (entry,) = EngineCache().entries()
    plan = opened(machine, entry.path)
    plan.gpu = "9.0"
    entry.path.write_bytes(plan.serialize())
    sidecar = entry.path.with_suffix(".json")
    record = json.loads(sidecar.read_text())
    digest = hashlib.sha256(plan.serialize()).hexdigest()
    sidecar.write_text(json.dumps({**record, "sha256": digest}))
    notes: list[str] = []
    with load(package, "tensorrt", tile=48, note=notes.append) as restorer:
        assert restorer(np.zeros((8, 8), np.uint8)).shape == (16, 16)
    stale = [text for text in notes if "does not load and is built again" in text]
    assert len(stale) == 1
    assert "incompatible device" in stale[0]


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
import edgesr.engines
from edgesr.cli import main
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_api import TensorRt
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import Tensorrt
fake = FakeCudart()
double = Tensorrt("10.3.0", fake)
edgesr.engines._tensorrt = lambda device="tensorrt": TrtBackend(
    device, tensorrt=TensorRt(double.module), cuda=CudaRuntime(fake, "fake")
)
sys.exit(main(sys.argv[1:]))
"""


def test_builds_killed_at_any_moment_leave_whole_files_or_none(tmp_path, monkeypatch, affine):
    monkeypatch.setenv("PYTHONPATH", str(site_folder(tmp_path / "site")))
    monkeypatch.setenv("DOUBLE_TENSORRT_VERSION", "10.3.0")
    output, record = tmp_path / "k.engine", tmp_path / "k.json"
    words = ["build", "--onnx", str(affine), *AFFINE, "-o", str(output)]
    command = [sys.executable, "-c", PROGRAM.format(root=str(ROOT)), *words]
    start = time.monotonic()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    whole = time.monotonic() - start
    built = output.read_bytes()
    rng = random.Random(11)
    for moment in (0.5, 0.8, 0.95):
        EngineCache().clear()
        if moment != 0.8:
            output.unlink(missing_ok=True)
            record.unlink(missing_ok=True)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * moment * rng.uniform(0.8, 1.1))
        child.kill()
        child.wait()
        for entry in EngineCache().entries():
            digest = hashlib.sha256(entry.path.read_bytes()).hexdigest()
            assert json.loads(entry.path.with_suffix(".json").read_text())["sha256"] == digest
        assert not output.exists() or output.read_bytes() == built
        if record.exists():
            assert json.loads(record.read_text())["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert "damaged" not in finished.stderr
    assert output.read_bytes() == built
    assert record.exists()


def test_a_package_for_given_shapes_is_compared_in_tiles_of_that_size(machine, tmp_path, capsys):
    said = build(capsys, make_package(tmp_path), "--fp16", "--shapes", "image:1x1x40x56", "-o", "s.engine")
    assert opened(machine, tmp_path / "s.engine").profiles == [{"image": [[1, 1, 40, 56]] * 3}]
    assert said["engine"]["proof"]["min_psnr"] > 60
    ranges = ["--min-shapes", "image:1x1x40x40", "--opt-shapes", "image:1x1x48x48", "--max-shapes", "image:1x1x64x64"]
    said = build(capsys, make_package(tmp_path), "--fp16", *ranges, "-o", "r.engine")
    assert said["engine"]["proof"]["min_psnr"] > 60
