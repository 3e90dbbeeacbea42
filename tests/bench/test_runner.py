"""Whole benchmarks of small networks: stages, quality, failures, device events, layers."""

import numpy as np
import pytest

from edgesr.bench.lower import build_lowered
from edgesr.bench.pairs import find_pairs
from edgesr.bench.plan import Plan, Watchers
from edgesr.bench.quality import QualityOptions
from edgesr.bench.record import STAGES
from edgesr.bench.runner import run_benchmark
from edgesr.bench.spec import Spec, cross
from edgesr.bench.subject import Subject
from edgesr.bench.timing import Protocol
from edgesr.bench.validity import Limits
from edgesr.errors import BackendError, BuildError, UsageError
from edgesr.image import Metadata, Picture, write
from tests.bench import devices
from tests.bench.clocks import StubClock
from tests.pipelines.test_tensorrt import Machine, make_package

QUICK = Protocol(duration=0.05, least=4, warmup=0.05)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        coarse = generator.integers(0, 255, (8, 8, 1))
        pixels = np.kron(coarse, np.ones((6, 6, 1))).astype(np.uint8)
        write(folder / f"{name}.png", Picture((pixels,), Metadata(format="PNG")))
    return folder


def plan(pictures, **values):
    pairs = find_pairs(high=pictures, kernel="cubic")
    settings = {"protocol": QUICK, "limits": Limits(cv=100, drift=100), "quality": QualityOptions()}
    return Plan(pairs, **{**settings, **values})


def test_a_row_holds_stages_quality_memory_and_conditions(tmp_path, pictures):
    (row,) = run_benchmark(
        [Spec(str(make_package(tmp_path)), device="cpu")], plan(pictures, streams=(1, 2), mlperf=True)
    )
    assert row.status == "valid", row.reasons
    assert list(row.stages) == list(STAGES)
    counts = {len(stage.samples) for stage in row.stages.values()}
    assert counts == {row.latency.count}
    assert row.latency.count >= 4
    sums = np.sum([row.stages[name].samples for name in STAGES[:-1]], axis=0)
    assert np.all(sums <= np.array(row.stages["end_to_end"].samples) + 1e-6)
    assert (row.precision, row.device, row.task, row.scale) == ("fp32", "onnxruntime:cpu", "restore", 2)
    assert (row.input_size, row.output_size) == ((24, 24, 1), (48, 48, 1))
    assert len(row.sha256) == 64
    assert [one["name"] for one in row.quality["pictures"]] == ["a", "b"]
    assert row.figure("psnr") > 5
    assert [one.streams for one in row.throughput] == [1, 2]
    assert row.memory["peak_rss"].value > 1 << 20
    assert row.first_ms > 0 and row.load_ms > 0 and row.build_ms is None
    assert set(row.conditions) >= {"graph", "transfers", "spin", "clock", "threads"}
    assert row.mlperf["is_compliant"] is False
    assert any(note.startswith("SingleStream, early-stopping estimate") for note in row.notes)
    assert all(reading.value is not None or reading.missing for reading in row.power.values())


def test_a_model_that_fails_stays_as_a_row_and_the_others_go_on(tmp_path, pictures):
    notes, told = [], []
    specs = cross((str(tmp_path / "absent.edgesr"), str(make_package(tmp_path))), device="cpu")
    rows = run_benchmark(specs, plan(pictures), Watchers(note=notes.append, row=told.append))
    assert [row.status for row in rows] == ["failed", "valid"]
    assert "no such file" in rows[0].reasons[0]
    assert told == rows
    assert notes


def test_a_picture_that_cannot_be_made_smaller_is_told_and_left_out(tmp_path, pictures):
    write(pictures / "c.png", Picture((np.zeros((1, 1, 1), np.uint8),), Metadata(format="PNG")))
    (row,) = run_benchmark([Spec(str(make_package(tmp_path)), device="cpu")], plan(pictures))
    assert row.status == "valid"
    assert list(row.quality["failures"]) == ["c"]
    assert [note for note in row.notes if "c.png" in note and note.startswith("not timed: ")]


def test_a_model_that_fails_on_the_third_picture_is_timed_on_the_others(tmp_path, pictures, monkeypatch):
    write(pictures / "c.png", Picture((np.zeros((20, 20, 1), np.uint8),), Metadata(format="PNG")))
    restore, timed = Subject.restore, []

    def failing(subject, pixels):
        if pixels.shape[0] == 10:
            raise BackendError("the device fell off the bus")
        return restore(subject, pixels)

    use = Subject.use
    monkeypatch.setattr(Subject, "restore", failing)
    monkeypatch.setattr(Subject, "use", lambda subject, chosen: (timed.append(len(chosen)), use(subject, chosen)))
    (row,) = run_benchmark([Spec(str(make_package(tmp_path)), device="cpu")], plan(pictures))
    assert row.status == "valid"
    assert row.quality["failures"] == {"c": "the device fell off the bus"}
    assert "failed on c: the device fell off the bus" in row.notes
    assert timed[-1] == 2


def test_when_no_picture_can_be_read_the_row_says_why(tmp_path, pictures):
    for path in pictures.iterdir():
        path.write_bytes(b"no picture")
    (row,) = run_benchmark([Spec(str(make_package(tmp_path)), device="cpu")], plan(pictures))
    assert row.status == "failed"
    assert "no picture can be read" in row.reasons[0]


def test_a_clock_that_throttles_makes_the_row_invalid(tmp_path, pictures):
    clock = StubClock()
    asked = [0]

    def throttling():
        asked[0] += 1
        clock.now += 0.01 if asked[0] < 500 else 0.013
        return clock.now

    specs = [Spec(str(make_package(tmp_path)), device="cpu")]
    settings = plan(pictures, limits=Limits(), protocol=Protocol(duration=8, warmup=1))
    (row,) = run_benchmark(specs, settings, clock=throttling)
    assert row.status == "invalid"
    assert any("slowed down by 30%" in reason for reason in row.reasons)


def test_a_lower_precision_is_built_compared_with_fp32_and_timed_in_turn(tmp_path, pictures):
    package = str(make_package(tmp_path))
    full, half = run_benchmark(cross((package,), ("fp32", "fp16"), device="cpu"), plan(pictures))
    assert (full.precision, half.precision) == ("fp32", "fp16")
    assert half.build_ms > 0
    # Without a number where the pictures are equal, of infinite PSNR.
    assert (half.figure("psnr_fp32") or 99) > 50
    assert "psnr_fp32" in half.quality["mean"]
    assert "psnr_fp32" not in full.quality["mean"]
    assert any("against FP32" in note for note in half.notes)


def test_a_precision_that_cannot_be_made_says_what_the_build_said(tmp_path):
    with pytest.raises(UsageError, match="'fp4' is none of"):
        Spec("cxr-x4", precision="fp4")
    with pytest.raises(BuildError, match=r"absent.* in fp16: "):
        build_lowered(str(tmp_path / "absent.edgesr"), "fp16", tmp_path)


def test_layers_and_roofline_count_the_network_that_ran(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("edgesr.bench.peaks.SIDE", 128)
    monkeypatch.setattr("edgesr.bench.peaks._SECONDS", 0.01)
    monkeypatch.setattr("edgesr.bench.peaks._COPY_BYTES", 1 << 20)
    (row,) = run_benchmark([Spec(str(make_package(tmp_path)), device="cpu")], plan(pictures, layers=True))
    assert sum(layer["share"] for layer in row.layers) == pytest.approx(1)
    assert row.layers[0]["ms"] >= row.layers[-1]["ms"]
    assert {"Conv"} <= {layer["type"] for layer in row.layers}
    roofline = row.roofline
    assert roofline["not_counted"] == []
    assert roofline["fraction"] == pytest.approx(roofline["bound_ms"] / row.stages["compute"].summary.median)
    assert roofline["peak"]["operations"] > 1e8
    assert roofline["peak"]["bandwidth"] > 1e7


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0"])
def test_on_tensorrt_compute_is_timed_by_events_and_layers_by_its_profiler(tmp_path, pictures, monkeypatch, version):
    from tests.fakes.tensorrt import VERSIONS

    found = next(known for known in VERSIONS if known.startswith(version.rsplit(".", 1)[0]))
    machine = Machine(found, monkeypatch, tmp_path)
    spec = Spec(str(make_package(tmp_path)), device="tensorrt")
    (row,) = run_benchmark([spec], plan(pictures, layers=True))
    assert row.status == "valid", row.reasons
    assert row.device == "tensorrt:0"
    assert "events on the device" in row.conditions["clock"]
    assert row.conditions["graph"].startswith("CUDA graph")
    assert len(row.stages["compute"].samples) == row.latency.count
    assert all(ms > 0 for ms in row.stages["compute"].samples)
    assert row.layers and all(layer["ms"] > 0 for layer in row.layers)
    assert "missing" in row.roofline and row.roofline["operations"] > 0
    machine.fake.check()


def test_settings_are_combined_and_known_again():
    specs = cross(("a", "b"), ("fp32", None), tiles=(64, 128), device="cpu")
    assert len(specs) == len({str(spec.asked) for spec in specs}) == 8


def test_on_a_jetson_a_row_has_watts_joules_and_temperatures(tmp_path, pictures):
    root = devices.orin(tmp_path / "orin")
    settings = plan(pictures, protocol=Protocol(duration=0.6, least=4, warmup=0.05), quality=None)
    (row,) = run_benchmark([Spec(str(make_package(tmp_path)), device="cpu")], settings, root=root)
    assert row.status == "valid", row.reasons
    assert row.power["watts"].value == pytest.approx(12.92)
    assert row.power["watts"].source.startswith("INA sensors in /sys/class/hwmon")
    seconds = sum(row.stages["end_to_end"].samples) / 1e3
    assert row.joules_per_image == pytest.approx(12.92 * seconds / row.latency.count, rel=0.2)
    assert row.power["joules_per_image_above_idle"].value == pytest.approx(0, abs=1e-6)
    assert row.temperatures["end"].value == 51.0
    assert not any("does not tell whether it throttles" in note for note in row.notes)


def test_a_jetson_that_throttles_makes_its_rows_invalid(tmp_path, pictures):
    root = devices.orin(tmp_path / "orin")
    devices.put(root, "sys/class/thermal/cooling_device1/cur_state", 1)
    (row,) = run_benchmark([Spec(str(make_package(tmp_path)), device="cpu")], plan(pictures, quality=None), root=root)
    assert row.status == "invalid"
    assert row.reasons[0].startswith("throttled: cooling device gpu-throttle-alert was active")
