"""Whether devices and files are there and may be used, before anything is started."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgesr.errors import InputError
from edgesr.media.address import Address


def check_camera(address: Address) -> None:
    """Raise InputError where there is no such video device."""
    path = Path(address.target)
    others = sorted(str(other) for other in path.parent.glob("video[0-9]*")) if path.parent.is_dir() else []
    there = f"there are {', '.join(others)}" if others else "there is no video device at all"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        reason = "there is no such device" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{address}: {reason}; {there}") from None
    if not stat.S_ISCHR(mode):
        raise InputError(f"{address}: is no device; {there}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise InputError(f"{address}: permission denied; sudo usermod -aG video $USER, then log in again")


def check_place(address: Address) -> None:
    """Raise InputError where no file can be made."""
    path = Path(address.target)
    if path.is_dir():
        raise InputError(f"{address}: is a folder; give a file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder; make it, or choose another -o")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{address}: permission denied; choose another -o")


def is_y4m(address: Address) -> bool:
    """Tell whether this is a Y4M file, which needs no library."""
    return address.kind == "video" and Path(address.target).suffix.lower() == ".y4m"
