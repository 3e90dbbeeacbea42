"""Memory of this process and of the device."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgesr.bench.record import Reading
from edgesr.device.sysfiles import UnreadableError, read_text

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class MemoryWatch:
    """Measures what loading and running one model adds, from when it is made.

    ``device_free`` returns the free bytes of the device's memory; None where the model runs in the machine's own.
    """

    def __init__(self, device_free: Callable[[], int] | None = None) -> None:
        self._is_reset = _reset_peak()
        self._before = _status("VmRSS")
        self._device_free = device_free
        self._device_before = device_free() if device_free else 0

    def readings(self) -> dict[str, Reading]:
        """Return ``peak_rss`` of the process, ``added_rss`` of this model and ``device`` memory, in bytes."""
        peak = _status("VmHWM")
        if peak is None:
            missing = Reading(None, str(_STATUS), "bytes", "VmHWM cannot be read")
            return {"peak_rss": missing}
        found = {"peak_rss": Reading(peak, f"VmHWM in {_STATUS}", "bytes")}
        if self._is_reset and self._before is not None:
            source = "peak resident memory less that before the model was loaded"
            found["added_rss"] = Reading(max(0, peak - self._before), source, "bytes")
        if self._device_free is not None:
            used = max(0, self._device_before - self._device_free())
            found["device"] = Reading(used, "cudaMemGetInfo, before and after; counts other programs too", "bytes")
        return found


def _reset_peak() -> bool:
    """Let the peak start anew (proc(5): writing 5 to clear_refs); tell whether that worked."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _status(key: str) -> int | None:
    try:
        match = re.search(rf"^{key}:\s*(\d+) kB", read_text(_STATUS), re.MULTILINE)
    except UnreadableError:
        return None
    return int(match[1]) * 1024 if match else None
