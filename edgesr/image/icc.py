"""Say whether an ICC profile fits the pixels it travels with."""

from __future__ import annotations

_SPACES = {b"GRAY": "grey", b"RGB ": "rgb", b"CMYK": "cmyk"}


def space(profile: bytes) -> str:
    """Return the colour space a profile describes: grey, rgb, cmyk, or "" for anything else or a damaged profile."""
    if len(profile) < 128 or profile[36:40] != b"acsp":
        return ""
    return _SPACES.get(profile[16:20], "")


def fitting(profile: bytes | None, channels: int) -> bytes | None:
    """Return the profile if it describes pixels of so many channels (1, 2 grey; 3, 4 RGB), else None."""
    if profile is None or space(profile) != ("grey" if channels <= 2 else "rgb"):
        return None
    return profile
