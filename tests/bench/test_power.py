"""Power meters on recorded lines and drawn device files; energy on known curves."""

import os
import time

import pytest

from edgesr.bench.ina import InaMeter
from edgesr.bench.nvml import Nvml, NvmlMeter
from edgesr.bench.power import Sampler, describe_power, open_meter
from edgesr.bench.rails import total_watts
from edgesr.bench.rapl import RaplMeter
from edgesr.bench.tegrastats import TegrastatsMeter, parse_tegrastats
from edgesr.device.sysfiles import UnreadableError
from tests.bench import devices
from tests.bench.devices import FakeNvml, put


@pytest.mark.parametrize(
    ("line", "watts", "rails", "gpu_load", "gpu_mhz", "hottest"),
    [
        pytest.param(devices.TX2, 5.297, ("VDD_IN",), 0.0, 114, ("pll", 42.5), id="tx2-jetpack4"),
        pytest.param(devices.ORIN_NANO, 4.94, ("VDD_IN",), 0.99, 624, ("tj", 49.75), id="orin-nano-jetpack6"),
        pytest.param(
            devices.ORIN_JETPACK_7,
            5.139 + 3.268 + 5.5,
            ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
            0.12,
            1300,
            ("cpu", 52.968),
            id="agx-orin-jetpack7",
        ),
        pytest.param(
            devices.THOR_JETPACK_7_0,
            0 + 4.165 + 4.126,
            ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
            None,
            0,
            ("tj", 34.5),
            id="thor-jetpack7.0",
        ),
        pytest.param(devices.THOR_JETPACK_7_2, 87.426, ("VIN",), None, None, ("tj", 63.281), id="thor-jetpack7.2"),
    ],
)
def test_a_line_of_tegrastats_is_read_in_every_form(line, watts, rails, gpu_load, gpu_mhz, hottest):
    told = parse_tegrastats(line)
    assert total_watts(told.watts) == (pytest.approx(watts), rails)
    assert (told.gpu_load, told.gpu_mhz) == (gpu_load, gpu_mhz)
    assert max(told.celsius.items(), key=lambda item: item[1]) == hottest
    assert told.memory_used < told.memory_total


def test_sensors_that_are_off_and_memory_are_no_temperatures_and_rails():
    told = parse_tegrastats(devices.ORIN_NANO)
    assert set(told.celsius) == {"cpu", "gpu", "tj"}
    assert set(told.watts) == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    assert told.cpu_mhz == 1510
    assert "PMIC" not in parse_tegrastats(devices.TX2).celsius


def test_an_orin_nx_without_rails_still_tells_memory_clocks_and_temperatures():
    told = parse_tegrastats(devices.ORIN_NX)
    assert (told.watts, told.gpu_load, told.gpu_mhz, told.cpu_mhz) == ({}, 0.31, 612, 883)
    assert (told.memory_used, told.memory_total) == (1204 << 20, 15389 << 20)
    assert told.celsius == {"cv0": 54.1, "cpu": 56.8, "soc2": 54.9, "gpu": 54.3, "tj": 57.5}


def test_a_line_that_is_damaged_tells_nothing():
    for line in ("", "garbage", "RAM 1/", "GR3D_FREQ", "VDD_IN 4940mW"):
        told = parse_tegrastats(line)
        assert (told.watts, told.gpu_mhz, told.memory_used) == ({}, None, None)
    with pytest.raises(UnreadableError, match="no rails that add up"):
        total_watts({"VDD_SOC": 1.0})


def test_the_program_is_a_meter_until_it_is_closed(tmp_path):
    command = devices.program(
        tmp_path / "tegrastats",
        f"""
        import sys, time
        assert sys.argv[1] == "--interval"
        while True:
            print({devices.ORIN_NANO!r}, flush=True)
            time.sleep(0.02)
        """,
    )
    meter = TegrastatsMeter(command)
    assert meter.watts() == 4.94
    assert meter.source == "tegrastats: VDD_IN"
    meter.close()
    assert meter._process.returncode is not None


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "print('no permission')"])
def test_a_program_that_tells_nothing_is_no_meter(tmp_path, code):
    with pytest.raises(UnreadableError):
        TegrastatsMeter(devices.program(tmp_path / "tegrastats", code))
    with pytest.raises(UnreadableError, match="cannot be started"):
        TegrastatsMeter(str(tmp_path / "absent"))


def test_the_sensors_of_an_orin_add_up(tmp_path):
    meter = InaMeter(devices.orin(tmp_path))
    assert meter.by_rail() == pytest.approx({"VDD_GPU_SOC": 4.95, "VDD_CPU_CV": 2.97, "VIN_SYS_5V0": 5.0})
    assert meter.watts() == pytest.approx(12.92)
    assert meter.source == "INA sensors in /sys/class/hwmon: VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"


def test_a_sensor_that_tells_power_and_the_older_driver_are_read(tmp_path):
    put(tmp_path, "thor/sys/class/hwmon/hwmon1/name", "ina238")
    put(tmp_path, "thor/sys/class/hwmon/hwmon1/power1_input", 87_426_000)
    assert InaMeter(tmp_path / "thor").watts() == pytest.approx(87.426)
    folder = "nano/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    put(tmp_path, f"{folder}/rail_name_0", "POM_5V_IN")
    put(tmp_path, f"{folder}/in_power0_input", 3210)
    assert InaMeter(tmp_path / "nano").watts() == pytest.approx(3.21)


def test_the_energy_counter_of_a_processor_may_wrap(tmp_path):
    zone = "sys/class/powercap/intel-rapl:0"
    put(tmp_path, f"{zone}/name", "package-0")
    put(tmp_path, f"{zone}/max_energy_range_uj", 1_000_000_000)
    put(tmp_path, f"{zone}/energy_uj", 990_000_000)
    put(tmp_path, f"{zone}:0/name", "core")
    seconds = iter([0.0, 2.0])
    meter = RaplMeter(tmp_path, clock=lambda: next(seconds))
    put(tmp_path, f"{zone}/energy_uj", 40_000_000)
    assert meter.watts() == pytest.approx(25.0)
    assert meter.source.endswith("package-0")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_only_root_may_read_is_missing_with_the_reason(tmp_path):
    zone = "sys/class/powercap/intel-rapl:0"
    put(tmp_path, f"{zone}/name", "package-0")
    put(tmp_path, f"{zone}/max_energy_range_uj", 1)
    put(tmp_path, f"{zone}/energy_uj", 1).chmod(0)
    meter, why = open_meter("onnxruntime:cpu", root=tmp_path)
    assert meter is None
    assert "no permission to read" in why
    assert "only root" in why


def test_without_any_sensor_the_reason_is_told(tmp_path):
    meter, why = open_meter("onnxruntime:cpu", root=tmp_path)
    assert (meter, why) == (
        None,
        f"there is no RAPL package in {tmp_path}/sys/class/powercap, as in most virtual machines",
    )
    assert "NVML" in open_meter("tensorrt:0", root=tmp_path)[1]
    readings = describe_power(Sampler(None), None, why, [(0.0, 1.0)], 10, idle=None)
    assert readings["joules_per_image"].value is None
    assert readings["joules_per_image"].missing == why


def test_a_desktop_gpu_is_asked_through_nvml():
    fake = FakeNvml()
    nvml = Nvml(1, library=fake, environment={"CUDA_VISIBLE_DEVICES": "3,GPU-8a6b"})
    assert fake.chosen == b"GPU-8a6b"
    assert (nvml.watts(), nvml.joules(), nvml.celsius(), nvml.mhz()) == (250.0, 5000.0, 61.0, 1980)
    assert (nvml.name(), nvml.driver(), nvml.memory_used()) == ("NVIDIA H200", "580.65.06", 1 << 30)
    assert NvmlMeter(nvml).source == "NVML nvmlDeviceGetPowerUsage: NVIDIA H200"
    nvml.close()
    assert not fake.is_open


def test_what_a_driver_does_not_know_is_unreadable():
    nvml = Nvml(0, library=FakeNvml(failing=("nvmlDeviceGetTotalEnergyConsumption",)), environment={})
    with pytest.raises(UnreadableError, match="has no nvmlDeviceGetTotalEnergyConsumption"):
        nvml.joules()


class Ramp:
    """A meter whose watts rise from 10 by 2 every second of a given clock."""

    source = "ramp"

    def __init__(self, clock):
        self.clock = clock

    def watts(self):
        return 10 + 2 * self.clock()

    def close(self):
        pass


def test_the_energy_of_a_ramp_is_its_integral():
    sampler = Sampler(None)
    sampler.samples = [(t / 10, 10 + 0.2 * t) for t in range(101)]
    # 10 t + t^2 from 0.05 to 5 and from 7 to 8.
    true = (50 + 25 - 0.5 - 0.0025) + (80 + 64 - 70 - 49)
    assert sampler.joules([(0.05, 5.0), (7.0, 8.0)]) == pytest.approx(true)


def test_the_thread_reads_until_the_block_ends_and_energy_becomes_joules_per_image():
    begin = time.perf_counter()
    meter = Ramp(lambda: time.perf_counter() - begin)
    with Sampler(meter, interval=0.01) as sampler:
        time.sleep(0.2)
    end = time.perf_counter()
    readings = describe_power(sampler, meter, "", [(begin, end)], 4, idle=5.0)
    seconds = end - begin
    assert readings["watts"].value == pytest.approx(10 + seconds, rel=0.02)
    assert readings["joules_per_image"].value == pytest.approx((10 + seconds) * seconds / 4, rel=0.02)
    above = readings["joules_per_image_above_idle"].value
    assert above == pytest.approx(readings["joules_per_image"].value - 5 * seconds / 4)


def test_a_meter_that_fails_on_the_way_leaves_its_reason():
    class Dying:
        source = "dying"

        def watts(self):
            raise UnreadableError("the sensor is gone")

    with Sampler(Dying(), interval=0.01) as sampler:
        time.sleep(0.05)
    readings = describe_power(sampler, Dying(), "", [(0.0, 1.0)], 1, idle=None)
    assert readings["watts"].missing == "the sensor is gone"
