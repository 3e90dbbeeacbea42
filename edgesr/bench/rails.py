"""Which power rails of a Jetson add up to the whole module."""

from __future__ import annotations

from collections.abc import Mapping

from edgesr.device.sysfiles import UnreadableError

INPUTS = ("VDD_IN", "VIN", "POM_5V_IN")
"""Rails that feed everything: Orin NX and Nano, TX2, Xavier NX; Thor; Nano."""
SETS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)
"""Rails side by side where no such input is measured: AGX Orin, Thor, AGX Xavier.

Others, such as VDDQ_VDD2_1V8AO, are fed by one of these and would count twice.
"""


def total_watts(watts: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    """Return the power of the module in watts and the rails that make it; raise UnreadableError for unknown rails."""
    for name in INPUTS:
        if name in watts:
            return watts[name], (name,)
    for names in SETS:
        if all(name in watts for name in names):
            return sum(watts[name] for name in names), names
    told = ", ".join(watts) or "none"
    raise UnreadableError(f"no rails that add up to the module are measured (there are: {told})")
