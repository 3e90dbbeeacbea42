"""Addresses of sources and sinks: ``csi://0``, ``/dev/video0``, ``rtsp://...``, ``display://0``, files, ``-``.

The names are those of NVIDIA's jetson-utils.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from edgesr.errors import UsageError
from edgesr.image.source import shown
from edgesr.media.redact import redact

Kind: TypeAlias = Literal["pictures", "sequence", "video", "csi", "v4l2", "rtsp", "rtp", "gst", "stdio", "display"]

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "csi": ("width", "height", "fps", "flip"),
    "v4l2": ("width", "height", "fps", "format"),
    "rtsp": ("transport", "latency"),
    "rtp": ("codec", "latency"),
    "stdio": ("format", "width", "height", "fps", "matrix", "range"),
    "sequence": ("fps", "start"),
    "pictures": ("fps",),
}
"""What may follow an address of each kind, after ``?``, or after ``#`` where ``?`` belongs to the server."""

# Pipelines whose first element waits until its frames are wanted.
_STORED = re.compile(
    r"\s*(?:(?:multi|split)?filesrc\b|(?:uridecodebin3?|urisourcebin)\s[^!]*uri=\"?file:|videotestsrc\b(?![^!]*is-live=(?:true|1)))"
)


@dataclass(frozen=True)
class Address:
    """Where frames come from or go to; its text never shows a password."""

    kind: Kind
    target: str = field(repr=False)
    """Path, device, URL with its password, or pipeline."""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_live(self) -> bool:
        """Whether frames come at their own pace, so that those nobody takes in time are lost."""
        if self.kind == "gst":
            return _STORED.match(self.target) is None
        return self.kind in ("csi", "v4l2", "rtsp", "rtp")

    def __str__(self) -> str:
        if self.kind == "stdio":
            return "-"
        return redact(shown(self.target)) if self.kind not in ("csi", "display") else f"{self.kind}://{self.target}"

    def number(self, name: str, least: float = 1) -> float | None:
        """Return a numeric option, None where it was not given."""
        if name not in self.options:
            return None
        try:
            value = float(self.options[name])
        except ValueError:
            value = -1.0
        if not least <= value < 1e6:
            raise UsageError(f"{self}: {name}={self.options[name]} must be a number from {least:g}")
        return value

    def whole(self, name: str, least: int = 1) -> int | None:
        """Return an option that is a whole number, None where it was not given."""
        value = self.number(name, least)
        if value is not None and value != int(value):
            raise UsageError(f"{self}: {name}={self.options[name]} must be a whole number")
        return None if value is None else int(value)

    def choice(self, name: str, known: tuple[str, ...]) -> str | None:
        """Return an option that is one of ``known``, None where it was not given."""
        value = self.options.get(name)
        if value is not None and value not in known:
            raise UsageError(f"{self}: {name}={value} must be one of {', '.join(known)}{closest(value, known)}")
        return value


def closest(word: str, known: tuple[str, ...]) -> str:
    """Return `` (did you mean X?)`` for the closest of ``known``, or nothing."""
    close = difflib.get_close_matches(word.lower(), known, 1, 0.5)
    return f" (did you mean {close[0]}?)" if close else ""
