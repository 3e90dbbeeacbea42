"""Options of ``edgesr run`` for cameras, streams and video."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any

from edgesr.cli.parser import Parser, whole
from edgesr.errors import UsageError

_DEFAULTS: dict[str, Any] = {
    "skip_similar": None,
    "frames": None,
    "timeout": None,
    "connect_timeout": None,
    "reconnect": None,
    "codec": None,
    "bitrate": None,
    "fps": None,
    "workers": None,
    "media": "auto",
}
# Written out, as the help must not wait for the modules that know them.
CODECS = ("h264", "h265", "vp9", "av1", "mjpeg", "ffv1")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


def add_live_options(run: Parser) -> None:
    """Add what applies to live pictures and video alone."""
    group = run.add_argument_group("cameras, streams and video")
    group.add_argument(
        "--skip-similar",
        type=_levels,
        metavar="LEVELS",
        help="repeat the last result while no part of the picture changes by this many grey levels (0 to 255)",
    )
    group.add_argument("--frames", type=whole(1), metavar="N", help="stop after N frames")
    group.add_argument("--timeout", type=_seconds, metavar="S", help="seconds without a frame that are too many (10)")
    group.add_argument(
        "--connect-timeout",
        type=_wait,
        metavar="S",
        help="seconds that a camera or stream may take to its first frame (30; names that look mistyped: 0)",
    )
    group.add_argument(
        "--reconnect", type=whole(0, 1_000_000), metavar="N", help="attempts to reach a lost camera or stream (5)"
    )
    group.add_argument("--codec", choices=CODECS, metavar="NAME", help=f"{', '.join(CODECS)} (lossless, in .mkv)")
    group.add_argument("--bitrate", type=_bits, metavar="N[k|M]", help="bits per second (default: constant quality)")
    group.add_argument("--fps", type=_seconds, metavar="N", help="nominal rate of what is written (the source's)")
    group.add_argument("--workers", type=whole(1, 16), metavar="N", help="frames under way at the same time (2)")
    group.add_argument(
        "--media", choices=("auto", "gstreamer", "pyav"), default="auto", metavar="NAME", help="auto, gstreamer or pyav"
    )


def refuse_live_options(arguments: argparse.Namespace) -> None:
    """Raise UsageError for an option of video with still pictures."""
    for name, usual in _DEFAULTS.items():
        if getattr(arguments, name) != usual:
            raise UsageError(f"--{name.replace('_', '-')} is for cameras, streams and video; these are still pictures")


def _levels(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 255:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 255, got {text!r}")
    return number


def _seconds(text: str) -> float:
    number = _number(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def _wait(text: str) -> float:
    number = _number(text)
    if not 0 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds from 0, got {text!r}")
    return number


def _bits(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    bits = float(match[1]) * _FACTORS[match[2].lower()] if match else 0
    if not 1_000 <= bits <= 2_000_000_000:
        raise argparse.ArgumentTypeError(f"expected bits per second such as 800k or 8M, got {text!r}")
    return int(bits)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
