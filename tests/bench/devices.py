"""Recorded and drawn device files: lines of tegrastats as people posted them, sensors, and programs that pretend."""

import stat
import sys
import textwrap

# jetson_stats pull request 894: AGX Orin with JetPack 7.2.
ORIN_JETPACK_7 = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201,4%@2201,14%@2201] EMC_FREQ 3%@3199 "
    "GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off VIC off OFA off APE 174 cpu@52.968C/52.968C soc2@48.406C/48.406C "
    "gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW "
    "VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
# Thor, L4T 38.4: no load, no VIN.
THOR_JETPACK_7_0 = (
    "05-17-2026 10:00:32 RAM 4208/125773MB (lfb 31x4MB) SWAP 0/2048MB (cached 0MB) CPU [1%@972,0%@972,3%@972] "
    "EMC_FREQ 0%@665 GR3D_FREQ @[0,0,0] NVENC0_FREQ @0 NVJPG0_FREQ @0 VIC off OFA_FREQ @0 PVA0_FREQ off APE 300 "
    "cpu@34.468C tj@34.5C soc012@33.781C soc345@34.5C VDD_GPU 0mW/0mW VDD_CPU_SOC_MSS 4165mW/4165mW "
    "VIN_SYS_5V0 4126mW/4126mW"
)
# WendyOS pull request 1316: Thor, L4T 39.2, without GR3D_FREQ.
THOR_JETPACK_7_2 = (
    "07-02-2026 13:45:44 RAM 36529/125749MB (lfb 12x4MB) SWAP 11/4096MB (cached 9MB) CPU [2%@972,1%@972,0%@972] "
    "cpu@60.406C tj@63.281C soc012@58.468C gpu@62.906C soc345@63.281C VDD_GPU 37528mW/37528mW/37528mW "
    "VDD_CPU_SOC_MSS 18961mW/18961mW/18961mW VIN_SYS_5V0 18331mW/18331mW/18331mW VIN 87426mW/43713mW/87426mW"
)
# Orin Nano with JetPack 5 and 6, drawn after the developer guide's description.
ORIN_NANO = (
    "RAM 4722/7844MB (lfb 1x512kB) SWAP 0/3922MB (cached 0MB) CPU [8%@1510,off,3%@1510] EMC_FREQ 2%@2133 "
    "GR3D_FREQ 99%@624 cpu@48.5C cv0@-256C gpu@48.343C tj@49.75C VDD_IN 4940mW/4700mW "
    "VDD_CPU_GPU_CV 845mW/810mW VDD_SOC 1533mW/1500mW"
)
# Orin NX 16GB with JetPack 5, drawn after lines that people posted: a second GPU cluster, no rails for users.
ORIN_NX = (
    "08-21-2026 15:11:33 RAM 1204/15389MB (lfb 3313x4MB) SWAP 0/7694MB (cached 0MB) CPU [4%@883,0%@883,1%@883,0%@729] "
    "EMC_FREQ 0% GR3D_FREQ 31%@612 GR3D2_FREQ 0%@0 CV0@54.1C CPU@56.8C SOC2@54.9C GPU@54.3C tj@57.5C CV2@-256C"
)
# beszel pull request 1631: TX2 with JetPack 4.
TX2 = (
    "RAM 3276/7859MB (lfb 5x4MB) SWAP 1626/12122MB (cached 181MB) CPU [44%@1421,49%@2031,67%@2034] EMC_FREQ 1%@1866 "
    "GR3D_FREQ 0%@114 APE 150 MTS fg 1% bg 1% PLL@42.5C MCPU@42.5C PMIC@50C Tboard@38C GPU@39.5C BCPU@42.5C "
    "thermal@41.3C Tdiode@39.25C VDD_SYS_GPU 182/182 VDD_SYS_SOC 730/730 VDD_4V0_WIFI 0/0 VDD_IN 5297/5297 "
    "VDD_SYS_CPU 1917/1917 VDD_SYS_DDR 1241/1241"
)


def write(root, **files):
    """Write files below ``root``; two underscores stand for a slash, as in ``etc__nvpmodel``."""
    for name, content in files.items():
        put(root, name.replace("__", "/"), content)
    return root


def put(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")
    return path


def orin(root):
    """An AGX Orin with JetPack 6.2: three rails on one INA3221, thermal zones, cooling devices, clocks."""
    put(root, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64")
    put(root, "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit")
    put(root, "proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005 nvidia,tegra234")
    put(root, "proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 60000000 kB")
    put(root, "proc/cpuinfo", "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd42")
    rails = {1: ("VDD_GPU_SOC", 19800, 250), 2: ("VDD_CPU_CV", 19800, 150), 3: ("VIN_SYS_5V0", 5000, 1000)}
    put(root, "sys/class/hwmon/hwmon3/name", "ina3221")
    for number, (name, millivolt, milliampere) in rails.items():
        put(root, f"sys/class/hwmon/hwmon3/in{number}_label", name)
        put(root, f"sys/class/hwmon/hwmon3/in{number}_input", millivolt)
        put(root, f"sys/class/hwmon/hwmon3/curr{number}_input", milliampere)
    put(root, "sys/class/hwmon/hwmon3/in7_label", "sum of shunt voltages")
    put(root, "sys/class/hwmon/hwmon4/oc1_event_cnt", 3)
    for number, (name, celsius) in enumerate([("cpu-thermal", 51), ("gpu-thermal", 47.5), ("PMIC-Die", 100)]):
        put(root, f"sys/class/thermal/thermal_zone{number}/type", name)
        put(root, f"sys/class/thermal/thermal_zone{number}/temp", round(celsius * 1000))
    put(root, "sys/class/thermal/cooling_device0/type", "pwm-fan")
    put(root, "sys/class/thermal/cooling_device0/cur_state", 2)
    put(root, "sys/class/thermal/cooling_device1/type", "gpu-throttle-alert")
    put(root, "sys/class/thermal/cooling_device1/cur_state", 0)
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil")
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1728000)
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", 2201600)
    put(root, "sys/class/devfreq/17000000.gpu/cur_freq", 306000000)
    put(root, "sys/class/devfreq/17000000.gpu/max_freq", 1300500000)
    put(root, "sys/class/devfreq/17000000.gpu/governor", "nvhost_podgov")
    put(root, "etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_30W >")
    return root


def program(path, code):
    """Write a Python program that can be started as ``path``."""
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(code)}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def nvpmodel(folder, *, mode=2, refuses=(), denied=False):
    """A program ``nvpmodel`` that keeps its mode in a file beside it; every call is in ``calls``."""
    (folder / "mode").write_text(str(mode))
    return program(
        folder / "nvpmodel",
        f"""
        import pathlib, sys
        folder = pathlib.Path({str(folder)!r})
        with (folder / "calls").open("a") as file:
            file.write(" ".join(sys.argv[1:]) + "\\n")
        names = {{0: "MAXN", 2: "MODE_30W"}}
        if {denied!r}:
            sys.exit("NVPM ERROR: Error opening /var/lib/nvpmodel/status: Permission denied")
        if sys.argv[1] == "-m" and int(sys.argv[2]) not in {tuple(refuses)!r}:
            (folder / "mode").write_text(sys.argv[2])
        number = int((folder / "mode").read_text())
        if sys.argv[1] == "-q":
            print(f"NV Power Mode: {{names[number]}}\\n{{number}}")
        """,
    )


class FakeNvml:
    """NVML with one GPU; a method that is None is missing in the driver."""

    def __init__(self, milliwatts=250_000, throttling=0, failing=()):
        self.milliwatts = milliwatts
        self.reasons = throttling
        self.failing = failing
        self.asked = []
        self.is_open = False

    def nvmlInit_v2(self):  # noqa: N802
        self.is_open = True
        return 0

    def nvmlShutdown(self):  # noqa: N802
        self.is_open = False
        return 0

    def __getattr__(self, name):
        if not name.startswith("nvml") or name in self.failing:
            raise AttributeError(name)
        numbers = {
            "nvmlDeviceGetPowerUsage": self.milliwatts,
            "nvmlDeviceGetTotalEnergyConsumption": 5_000_000,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.reasons,
        }

        def answer(*arguments):
            self.asked.append(name)
            if name in numbers:
                arguments[-1]._obj.value = numbers[name]
            elif name == "nvmlDeviceGetName":
                arguments[1].value = b"NVIDIA H200"
            elif name == "nvmlSystemGetDriverVersion":
                arguments[0].value = b"580.65.06"
            elif name == "nvmlDeviceGetMemoryInfo":
                arguments[1]._obj.used = 1 << 30
            elif name.startswith("nvmlDeviceGetHandleBy"):
                self.chosen = arguments[0].value
            else:
                return 999
            return 0

        if name == "nvmlErrorString":
            return lambda code: b"Unknown Error"
        return answer
