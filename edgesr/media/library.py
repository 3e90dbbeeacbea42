"""Which library captures, decodes and encodes on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgesr.errors import BackendError, UsageError
from edgesr.media.gst import PACKAGES, GStreamer, find_gstreamer

Through: TypeAlias = Literal["auto", "gstreamer", "pyav"]


@dataclass(frozen=True)
class Library:
    """What captures, decodes and encodes: GStreamer, or PyAV where ``gstreamer`` is None."""

    name: str
    gstreamer: GStreamer | None


def library(through: Through = "auto", what: str = "video") -> Library:
    """Return the library that ``through`` names, or the first that is installed; BackendError when there is none."""
    from edgesr.media.av_io import has_av

    if through not in ("auto", "gstreamer", "pyav"):
        raise UsageError(f"through must be auto, gstreamer or pyav, got {through!r}")
    gstreamer = find_gstreamer() if through != "pyav" else None
    if gstreamer is not None:
        return Library(f"GStreamer {gstreamer.version}", gstreamer)
    if through == "gstreamer":
        raise BackendError(f"{what}: GStreamer's gst-launch-1.0 with gdppay is not installed; {PACKAGES}")
    if not has_av():
        asked = "PyAV is not installed; pip install 'edgesr[video]'"
        both = f"needs GStreamer ({PACKAGES}) or PyAV (pip install 'edgesr[video]'), and neither is installed"
        raise BackendError(f"{what}: {asked if through == 'pyav' else both}")
    from importlib.metadata import version

    return Library(f"PyAV {version('av')}", None)
