"""Durations as people say them."""

from __future__ import annotations


def show_seconds(seconds: float) -> str:
    """Write a duration as people say it, e.g. ``3 min 12 s``."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
