"""Power sensors of a Jetson in sysfs: INA3221 and INA238 under hwmon, and the older driver under iio."""

from __future__ import annotations

from pathlib import Path

from edgesr.bench.rails import total_watts
from edgesr.device import HERE
from edgesr.device.sysfiles import UnreadableError, read_number, read_text


class InaMeter:
    """All rails of all sensors below ``root``; needs no permission on JetPack 5 and later."""

    def __init__(self, root: Path = HERE) -> None:
        self._channels = find_channels(root)
        if not self._channels:
            raise UnreadableError(f"there is no INA power sensor in {root / 'sys/class/hwmon'}")
        self.rails = total_watts(self.by_rail())[1]

    @property
    def source(self) -> str:
        """Where the watts come from."""
        return f"INA sensors in /sys/class/hwmon: {' + '.join(self.rails)}"

    def by_rail(self) -> dict[str, float]:
        """Return the present watts of every rail."""
        return {name: channel.watts() for name, channel in self._channels.items()}

    def watts(self) -> float:
        """Return the present power in watts."""
        return sum(self._channels[name].watts() for name in self.rails)

    def close(self) -> None:
        """Free nothing."""


class Channel:
    """One rail: its power in a file, or voltage and current in two."""

    def __init__(self, *files: tuple[Path, float]) -> None:
        self._files = files

    def watts(self) -> float:
        """Return the product of the files, each times its factor."""
        product = 1.0
        for path, factor in self._files:
            product *= read_number(path) * factor
        return product


def find_channels(root: Path) -> dict[str, Channel]:
    """Return the measured rails by name."""
    found: dict[str, Channel] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if not _text(folder / "name").startswith("ina"):
            continue
        for label in sorted(folder.glob("in*_label")):
            number = label.name[2:-6]
            name = _text(label)
            pair = folder / f"in{number}_input", folder / f"curr{number}_input"
            # The last channels of an INA3221 are sums of the others.
            if name and not name.lower().startswith("sum") and all(path.exists() for path in pair):
                found[name] = Channel((pair[0], 1e-3), (pair[1], 1e-3))
        power = folder / "power1_input"
        if power.exists() and not any(folder.glob("in*_label")):
            found[_text(folder / "power1_label") or _text(folder / "label") or "VIN"] = Channel((power, 1e-6))
    for folder in sorted((root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*")):
        for label in sorted(folder.glob("rail_name_*")):
            power = folder / f"in_power{label.name[10:]}_input"
            if power.exists():
                found[_text(label)] = Channel((power, 1e-3))
    return found


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except UnreadableError:
        return ""
