"""Take out of a bug report what says who, where and which patient."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgesr.doctor.diagnose import USUAL_USERS
from edgesr.media.redact import redact

_PICTURES = "png|jpe?g|tiff?|bmp|gif|webp|dcm|dicom|nii|mp4|mkv|mov|avi|webm|y4m|mjpeg"
_PICTURE = re.compile(rf"[^\s/\"'<>:=,;()\[\]]+\.({_PICTURES})\b", re.IGNORECASE)
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b")
_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE)
# Versions of TensorRT have four parts too; they follow its name or a word that says so.
_IPV4 = re.compile(r"(?<![\d.])(?!127\.)((?:\d{1,3}\.){3}\d{1,3})(?![\d.])")
_VERSION = re.compile(r"(?:tensorrt|trt|nvinfer|version|cudnn|==|>=|<=|\bv)[\s:=(_-]*$", re.IGNORECASE)
_SERIAL = re.compile(r"(serial(?:[-_ ]?(?:no|number))?\s*[:=]\s*)\S+", re.IGNORECASE)


class Scrubber:
    """Replaces names of user and computer, addresses, passwords, and names of pictures, which may name a patient."""

    def __init__(self, home: str = "", user: str = "", host: str = "") -> None:
        self._home = home or _known(lambda: str(Path.home()))
        words = ((user or _known(getpass.getuser), "USER"), (host or _known(socket.gethostname), "HOST"))
        self._words = [
            (re.compile(rf"(?<![\w.-]){re.escape(word)}(?![\w-])"), shown)
            for word, shown in words
            if len(word) > 2 and word not in USUAL_USERS
        ]

    def text(self, text: str) -> str:
        """Return the text without what should stay private."""
        text = redact(text)
        if len(self._home) > 1:
            text = re.sub(rf"(?<![\w/]){re.escape(self._home)}(?![\w.-])", "~", text)
        text = _PICTURE.sub(r"PICTURE.\1", text)
        for pattern, shown in ((_EMAIL, "EMAIL"), (_MAC, "MAC"), (_SERIAL, r"\1SERIAL")):
            text = pattern.sub(shown, text)
        text = _IPV4.sub(_address, text)
        for pattern, shown in self._words:
            text = pattern.sub(shown, text)
        return text

    def tree(self, value: Any) -> Any:
        """Return a JSON document with every string in it scrubbed."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.tree(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.tree(inner) for inner in value]
        return value


def _address(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 24) : match.start()]
    is_version = _VERSION.search(before) is not None or match[0] == match.string
    return match[0] if is_version or max(map(int, match[0].split("."))) > 255 else "ADDRESS"


def _known(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (KeyError, OSError, RuntimeError):
        return ""
