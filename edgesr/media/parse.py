"""Read addresses: what was typed becomes an Address, or an error that says what was meant."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote

from edgesr.errors import UsageError
from edgesr.media.address import OPTIONS, Address, Kind, closest
from edgesr.media.redact import redact

SOURCE_SCHEMES = ("csi", "file", "gst", "rtp", "rtsp", "rtsps", "v4l2")
SINK_SCHEMES = ("display", "file", "gst", "rtp", "rtsp", "rtsps", "v4l2")
VIDEO_SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".y4m",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".mjpeg",
        ".mjpg",
        ".h264",
        ".264",
        ".h265",
        ".265",
        ".hevc",
        ".ogv",
        ".wmv",
        ".flv",
        ".3gp",
    )
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SLOPPY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/?([^/].*)?", re.DOTALL)
_NUMBERED = re.compile(r"%0?\d*d")


def parse_source(text: str) -> Address:
    """Return what ``text`` names as a source of frames; raise UsageError for what is no address."""
    if text.startswith("/dev/video") or _is_character_device(text):
        return _with_options("v4l2", text)
    if is_pipeline(text):
        return Address("gst", text)
    return _parse(text, SOURCE_SCHEMES)


def parse_sink(text: str) -> Address:
    """Return what ``text`` names as a sink of frames; raise UsageError for what is no address."""
    if text.startswith("/dev/video"):
        return Address("v4l2", text)
    if is_pipeline(text):
        return Address("gst", text)
    address = _parse(text, SINK_SCHEMES)
    if address.options and address.kind not in ("sequence", "pictures"):
        raise UsageError(f"{address}: a sink takes no {next(iter(address.options))}=; use options of their own")
    return address


def is_media(text: str) -> bool:
    """Tell, for a command line, whether ``text`` names live pictures or video and not a still picture or a folder."""
    if text == "-" or is_pipeline(text) or text.startswith("/dev/video") or _SCHEME.fullmatch(text):
        return True
    if Path(text).suffix.lower() in VIDEO_SUFFIXES or (_NUMBERED.search(text) and not _exists(text)):
        return True
    return _sloppy_scheme(text) is not None


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def is_pipeline(text: str) -> bool:
    """Tell whether ``text`` is a GStreamer pipeline without its scheme."""
    return " ! " in text and not _SCHEME.match(text) and not _exists(text)


def parse_path(path: os.PathLike[str]) -> Address:
    """Return the address of a file or folder, whatever its name looks like."""
    text = os.fspath(path)
    if _NUMBERED.search(text) and not _exists(text):
        return Address("sequence", text)
    return Address("video" if Path(text).suffix.lower() in VIDEO_SUFFIXES else "pictures", text)


def _parse(text: str, schemes: tuple[str, ...]) -> Address:
    if not text:
        raise UsageError("the address is empty; give a file, csi://0, /dev/video0, rtsp://HOST/PATH, display://0 or -")
    match = _SCHEME.fullmatch(text)
    if match is None:
        hint = _sloppy_scheme(text)
        if hint is not None:
            raise UsageError(f"{redact(text)}: there is no such file; did you mean {redact(hint)}?")
        return _file(text)
    scheme, rest = match[1].lower(), match[2]
    if scheme not in schemes:
        both = tuple(dict.fromkeys((*SOURCE_SCHEMES, *SINK_SCHEMES)))
        if scheme in both:
            side = "written to" if schemes is SINK_SCHEMES else "read from"
            raise UsageError(f"{redact(text)}: {scheme}:// cannot be {side}; use {_listed(schemes)}")
        raise UsageError(
            f"{redact(text)}: {scheme}:// is no scheme that edgesr knows{_meant(scheme, rest, schemes)}; "
            f"it knows {_listed(schemes)}"
        )
    if not rest:
        raise UsageError(f"{scheme}:// names nothing; give {_EXAMPLES[scheme]}")
    if scheme == "file":
        return _file(unquote(rest.removeprefix("localhost")))
    if scheme in ("rtsp", "rtsps", "rtp"):
        url, _, fragment = text.partition("#")
        kind: Kind = "rtp" if scheme == "rtp" else "rtsp"
        return Address(kind, url, _options(kind, fragment, redact(url)))
    if scheme == "gst":
        return Address("gst", rest)
    if scheme == "v4l2":
        return _with_options("v4l2", rest)
    if scheme == "csi":
        return _numbered("csi", rest)
    return _numbered("display", rest)


_EXAMPLES = {
    "csi": "csi://0",
    "display": "display://0",
    "file": "file:///path/to/clip.mp4",
    "gst": 'a pipeline such as "gst://videotestsrc is-live=true"',
    "rtp": "rtp://HOST:PORT",
    "rtsp": "rtsp://HOST/PATH",
    "rtsps": "rtsps://HOST/PATH",
    "v4l2": "v4l2:///dev/video0",
}


def _numbered(kind: Kind, rest: str) -> Address:
    address = _with_options(kind, rest)
    if not re.fullmatch(r"\d{1,2}", address.target):
        raise UsageError(f"{address}: is followed by a number; give {_EXAMPLES[kind]}")
    return address


def _with_options(kind: Kind, rest: str) -> Address:
    target, _, query = rest.partition("?")
    if kind == "v4l2" and re.fullmatch(r"\d{1,3}", target):
        target = f"/dev/video{target}"
    if kind == "v4l2" and not target.startswith("/"):
        raise UsageError(f"v4l2://{target}: is followed by a device; give {_EXAMPLES[kind]}")
    return Address(kind, target, _options(kind, query, target))


def _file(text: str) -> Address:
    if text == "-":
        return Address("stdio", "-")
    if text.startswith("-?"):
        return Address("stdio", "-", _options("stdio", text[2:], "-"))
    path, _, query = text.partition("?")
    if query and "=" in query and not _exists(text):
        kind: Kind = "sequence" if _NUMBERED.search(path) else "pictures"
        if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
            return Address(kind, path, _options(kind, query, path))
    return parse_path(Path(text))


def _options(kind: Kind, text: str, place: str) -> Mapping[str, str]:
    if not text:
        return MappingProxyType({})
    known = OPTIONS.get(kind, ())
    try:
        given = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise UsageError(f"{place}: {redact(text)!r} must be NAME=VALUE&NAME=VALUE") from None
    for name in given:
        if name not in known:
            named = ", ".join(known) or "none"
            raise UsageError(f"{place}: has no option {name!r}{closest(name, known)}; {kind} takes {named}")
    return MappingProxyType(given)


def _meant(scheme: str, rest: str, schemes: tuple[str, ...]) -> str:
    swapped = [known for known in schemes if sorted(known) == sorted(scheme)]
    close = swapped or difflib.get_close_matches(scheme, schemes, 1, 0.5)
    return f" (did you mean {redact(f'{close[0]}://{rest}')}?)" if close else ""


def _sloppy_scheme(text: str) -> str | None:
    """Return the address that was meant by ``csi:0`` or ``rtsp:/host``; None for what may be a file."""
    match = _SLOPPY.fullmatch(text)
    known = (*SOURCE_SCHEMES, *SINK_SCHEMES)
    if match is None or match[1].lower() not in known or _exists(text):
        return None
    return f"{match[1].lower()}://{match[2] or ''}"


def _listed(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes) + ", files and -"


def _is_character_device(text: str) -> bool:
    try:
        return text.startswith("/dev/") and stat.S_ISCHR(Path(text).stat().st_mode) and "video" in text
    except (OSError, ValueError):
        return False
