"""Whether devices and files are there and may be used, before anything is started."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

from edgesr.errors import InputError
from edgesr.media.address import Address
from edgesr.media.port import AbsentError

_RTSP = 554


def check_camera(address: Address) -> None:
    """Raise AbsentError where there is no such video device, InputError where it may not be used."""
    path = Path(address.target)
    others = sorted(str(other) for other in path.parent.glob("video[0-9]*")) if path.parent.is_dir() else []
    there = f"there are {', '.join(others)}" if others else "there is no video device at all"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise AbsentError(f"{address}: there is no such device; {there}") from None
        raise InputError(f"{address}: {error.strerror}; {there}") from None
    if not stat.S_ISCHR(mode):
        raise InputError(f"{address}: is no device; {there}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise InputError(f"{address}: permission denied; sudo usermod -aG video $USER, then log in again")


def check_host(address: Address) -> None:
    """Raise AbsentError where the host of a stream has no address."""
    try:
        host, port = urlsplit(address.target).hostname, urlsplit(address.target).port
    except ValueError as error:
        raise InputError(f"{address}: {str(error).lower()}; give rtsp://HOST:PORT/PATH") from None
    if not host:
        raise InputError(f"{address}: names no host; give rtsp://HOST/PATH")
    try:
        socket.getaddrinfo(host, port or _RTSP, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AbsentError(f"{address}: the host {host} is not known ({reason}); check its name") from None


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
