"""NVIDIA's management library by ctypes: power, energy, clocks, temperature and throttling of a desktop GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from ctypes import byref, c_char_p, c_uint, c_ulonglong, c_void_p
from typing import Any

from edgesr.device.sysfiles import UnreadableError

_LIBRARY = "libnvidia-ml.so.1"
_GRAPHICS_CLOCK, _MEMORY_CLOCK = 0, 2
_GPU_SENSOR = 0
# nvmlClocksThrottleReason* of nvml.h.
SLOWDOWNS = {
    0x8: "hardware slowdown",
    0x20: "thermal slowdown by the driver",
    0x40: "thermal slowdown by the hardware",
    0x80: "power brake",
}
POWER_CAP = 0x4


class _Memory(ctypes.Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class Nvml:
    """One GPU; ``index`` counts as CUDA does, within ``CUDA_VISIBLE_DEVICES``."""

    def __init__(self, index: int = 0, *, library: Any = None, environment: Mapping[str, str] = os.environ) -> None:
        self._library = library or _load()
        self._call("nvmlInit_v2")
        self._handle = c_void_p()
        visible = [word.strip() for word in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if word.strip()]
        chosen = visible[index] if index < len(visible) else str(index)
        if chosen.isdigit():
            self._call("nvmlDeviceGetHandleByIndex_v2", c_uint(int(chosen)), byref(self._handle))
        else:
            self._call("nvmlDeviceGetHandleByUUID", c_char_p(chosen.encode()), byref(self._handle))

    def name(self) -> str:
        """Return the product's name."""
        text = ctypes.create_string_buffer(96)
        self._call("nvmlDeviceGetName", self._handle, text, c_uint(len(text)))
        return text.value.decode(errors="replace")

    def driver(self) -> str:
        """Return the driver's version."""
        text = ctypes.create_string_buffer(80)
        self._call("nvmlSystemGetDriverVersion", text, c_uint(len(text)))
        return text.value.decode(errors="replace")

    def watts(self) -> float:
        """Return the present power of the whole board."""
        return self._number("nvmlDeviceGetPowerUsage") / 1e3

    def joules(self) -> float:
        """Return the energy since the driver was loaded; Volta and later."""
        return self._number("nvmlDeviceGetTotalEnergyConsumption", kind=c_ulonglong) / 1e3

    def celsius(self) -> float:
        """Return the temperature of the GPU."""
        return float(self._number("nvmlDeviceGetTemperature", c_uint(_GPU_SENSOR)))

    def mhz(self) -> int:
        """Return the present graphics clock."""
        return self._number("nvmlDeviceGetClockInfo", c_uint(_GRAPHICS_CLOCK))

    def memory_mhz(self) -> int:
        """Return the present memory clock."""
        return self._number("nvmlDeviceGetClockInfo", c_uint(_MEMORY_CLOCK))

    def throttling(self) -> int:
        """Return the reasons for lower clocks as bits; see ``SLOWDOWNS``."""
        return self._number("nvmlDeviceGetCurrentClocksThrottleReasons", kind=c_ulonglong)

    def memory_used(self) -> int:
        """Return the bytes of device memory that all programs hold."""
        memory = _Memory()
        self._call("nvmlDeviceGetMemoryInfo", self._handle, byref(memory))
        return int(memory.used)

    def close(self) -> None:
        """Leave the library."""
        self._library.nvmlShutdown()

    def _number(self, name: str, *arguments: Any, kind: Any = c_uint) -> int:
        value = kind()
        self._call(name, self._handle, *arguments, byref(value))
        return int(value.value)

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise UnreadableError(f"the driver's NVML has no {name}")
        code = function(*arguments)
        if code:
            raise UnreadableError(f"{name} failed: {self._message(code)}")

    def _message(self, code: int) -> str:
        describe = self._library.nvmlErrorString
        describe.restype = c_char_p
        text = describe(c_uint(code))
        return text.decode(errors="replace") if isinstance(text, bytes) else f"code {code}"


class NvmlMeter:
    """The power of one GPU's board."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        nvml.watts()
        self.source = f"NVML nvmlDeviceGetPowerUsage: {nvml.name()}"

    def watts(self) -> float:
        """Return the present power in watts."""
        return self._nvml.watts()

    def close(self) -> None:
        """Free nothing; the library is its opener's."""


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        raise UnreadableError(f"there is no {_LIBRARY}, which NVIDIA's desktop driver brings") from None
