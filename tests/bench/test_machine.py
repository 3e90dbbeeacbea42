"""Facts with their sources, throttling, and power modes that are always set back."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from edgesr.bench.machine import IDENTITY, describe_machine, differences
from edgesr.bench.nvml import Nvml
from edgesr.bench.record import Reading
from edgesr.bench.thermal import ThrottleWatch, hottest, temperatures
from edgesr.device.power_mode import Nvpmodel, power_mode
from edgesr.device.sysfiles import UnreadableError
from edgesr.errors import BackendError, UsageError
from tests.bench import devices
from tests.bench.devices import FakeNvml, put


def test_every_fact_of_an_orin_has_a_source(tmp_path):
    tools = Nvpmodel(devices.nvpmodel(tmp_path), devices.orin(tmp_path / "root"))
    facts = describe_machine(tmp_path / "root", nvpmodel=tools)
    assert all(fact.source for fact in facts.values())
    assert {
        name: facts[name].value for name in ("board", "soc", "l4t", "jetpack", "cpu", "governor", "power_mode")
    } == {
        "board": "NVIDIA Jetson AGX Orin Developer Kit",
        "soc": "tegra234",
        "l4t": "36.4.3",
        "jetpack": "6.1-6.2.2",
        "cpu": "Cortex-A78AE",
        "governor": "schedutil",
        "power_mode": "2 (MODE_30W)",
    }
    assert (facts["cpu_mhz"].value, facts["gpu_mhz"].value, facts["gpu_max_mhz"].value) == (1728, 306, 1300.5)
    assert set(IDENTITY) <= set(facts)


def test_what_is_missing_says_why(tmp_path):
    facts = describe_machine(tmp_path)
    for name in ("board", "gpu", "power_mode", "governor", "cpu_mhz"):
        assert facts[name].value is None
        assert facts[name].missing
    assert "there is no" in facts["governor"].missing


def test_a_desktop_gpu_tells_name_driver_and_clocks(tmp_path):
    facts = describe_machine(tmp_path, nvml=Nvml(0, library=FakeNvml(), environment={}))
    assert [facts[name].value for name in ("gpu", "driver", "gpu_mhz")] == ["NVIDIA H200", "580.65.06", 1980]


def test_machines_differ_in_what_makes_them_fast_and_in_nothing_else():
    old = {"cpu": Reading("A", "x"), "power_mode": Reading("2", "x"), "load": Reading(0.1, "x")}
    new = {"cpu": Reading("A", "x"), "power_mode": Reading("0", "x"), "load": Reading(3.0, "x")}
    assert differences(old, new) == ["power_mode: 2 and 0"]
    assert differences(old, old) == []


def test_the_hottest_sensor_that_computes_is_named(tmp_path):
    root = devices.orin(tmp_path)
    assert temperatures(root) == {"cpu-thermal": 51.0, "gpu-thermal": 47.5}
    assert hottest(root).value == 51.0
    assert hottest(root).source.endswith("cpu-thermal")
    assert "no temperature" in hottest(tmp_path / "nothing").missing
    assert hottest(tmp_path / "nothing", Nvml(0, library=FakeNvml(), environment={})).value == 61.0


def test_a_quiet_machine_did_not_throttle_and_its_fan_does_not_count(tmp_path):
    watch = ThrottleWatch(devices.orin(tmp_path))
    watch.look()
    assert watch.findings() == []
    assert len(watch.sources) == 2
    assert ThrottleWatch(tmp_path / "nothing").sources == ()


def test_throttling_is_found_in_counters_in_cooling_devices_and_in_nvml(tmp_path):
    root = devices.orin(tmp_path)
    fake = FakeNvml()
    watch = ThrottleWatch(root, Nvml(0, library=fake, environment={}))
    watch.look()
    put(root, "sys/class/thermal/cooling_device1/cur_state", 1)
    fake.reasons = 0x40 | 0x1 | 0x4
    watch.look()
    put(root, "sys/class/thermal/cooling_device1/cur_state", 0)
    put(root, "sys/class/hwmon/hwmon4/oc1_event_cnt", 5)
    assert watch.findings() == [
        "throttled: /sys/class/hwmon/hwmon4/oc1_event_cnt rose by 2",
        "throttled: cooling device gpu-throttle-alert was active in 1 of 2 looks",
        "throttled: GPU: thermal slowdown by the hardware in 1 of 2 looks",
    ]


def test_a_mode_is_named_by_number_or_name(tmp_path):
    tools = Nvpmodel(devices.nvpmodel(tmp_path), devices.orin(tmp_path / "root"))
    assert (tools.resolve("0"), tools.resolve("mode_30w")) == (0, 2)
    with pytest.raises(UsageError, match=r"no power mode 7; it has 0 \(MAXN\), 2 \(MODE_30W\)"):
        tools.resolve("7")
    with pytest.raises(UsageError, match="no power mode 'TURBO'"):
        tools.resolve("TURBO")


def test_the_old_mode_comes_back_after_the_run_and_after_an_error(tmp_path):
    tools = Nvpmodel(devices.nvpmodel(tmp_path, mode=2), devices.orin(tmp_path / "root"))
    with power_mode("MAXN", tools, settle=lambda: None):
        assert tools.query().number == 0
    assert tools.query().number == 2
    with pytest.raises(ZeroDivisionError), power_mode("0", tools, settle=lambda: None):
        raise ZeroDivisionError
    assert tools.query().number == 2


def test_a_mode_that_is_on_already_is_not_set(tmp_path):
    tools = Nvpmodel(devices.nvpmodel(tmp_path, mode=2), devices.orin(tmp_path / "root"))
    with power_mode("2", tools), power_mode(None, tools):
        pass
    assert (tmp_path / "calls").read_text() == "-q\n"


def test_a_mode_that_needs_a_restart_is_refused_and_the_old_one_stays(tmp_path):
    tools = Nvpmodel(devices.nvpmodel(tmp_path, refuses=[0]), devices.orin(tmp_path / "root"))
    with pytest.raises(BackendError, match="only with a restart"), power_mode("0", tools):
        pytest.fail("the block must not run")
    assert tools.query().number == 2


def test_a_mode_that_cannot_be_set_back_is_told(tmp_path):
    tools = Nvpmodel(devices.nvpmodel(tmp_path, refuses=[2]), devices.orin(tmp_path / "root"))
    notes = []
    with pytest.raises(BackendError), power_mode("0", tools, settle=lambda: None, note=notes.append):
        pass
    assert "set it with nvpmodel -m 2" in notes[0]


def test_without_permission_the_file_tells_the_mode_and_a_change_is_refused(tmp_path):
    root = devices.orin(tmp_path / "root")
    tools = Nvpmodel(devices.nvpmodel(tmp_path, denied=True), root)
    with pytest.raises(UnreadableError, match="Permission denied"):
        tools.query()
    put(root, "var/lib/nvpmodel/status", "pmode:0002")
    assert str(tools.query()) == "2 (MODE_30W)"
    with pytest.raises(BackendError, match="run as root"), power_mode("0", tools):
        pytest.fail("the block must not run")


def test_a_machine_without_nvpmodel_is_told_so(tmp_path):
    with (
        pytest.raises(BackendError, match="which Jetsons have"),
        power_mode("0", Nvpmodel("nvpmodel-absent", tmp_path)),
    ):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_old_mode_comes_back_after_an_interrupt(tmp_path, number):
    command = devices.nvpmodel(tmp_path, mode=2)
    root = devices.orin(tmp_path / "root")
    code = f"""
    import pathlib, time
    from edgesr.device.power_mode import Nvpmodel, power_mode
    from edgesr.cli.signals import Interruption
    with Interruption(), power_mode("0", Nvpmodel({command!r}, pathlib.Path({str(root)!r})), settle=lambda: None):
        print("running", flush=True)
        time.sleep(30)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout.readline() == b"running\n"
    assert (tmp_path / "mode").read_text() == "0"
    child.send_signal(number)
    time.sleep(0.05)
    child.send_signal(number)
    child.communicate(timeout=20)
    assert (tmp_path / "mode").read_text() == "2"
