"""PSNR and LPIPS over network evaluations, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.diffusion.results import Point

PANEL, MARGIN, TOP = (520, 360), 70, 60
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#7d4e9e")
TICKS = (1, 2, 4, 10, 20, 50, 300)


def draw_plot(points: Sequence[Point], path: Path) -> None:
    """Write two panels as PNG: PSNR (higher is better) and LPIPS as a share of bicubic's (lower is better)."""
    width, height = PANEL
    image = Image.new("RGB", (2 * width, height + 40), "white")
    draw = ImageDraw.Draw(image)
    _panel(draw, points, 0, "psnr", "PSNR, dB (more is better)")
    _panel(draw, points, width, "lpips_ratio", "LPIPS / bicubic's (less is better)")
    for index, name in enumerate(_methods(points)):
        x, y = 70 + index * 330, height + 14
        draw.line([(x, y), (x + 24, y)], COLOURS[index % len(COLOURS)], 3)
        draw.text((x + 32, y - 8), name, "black", _font())
    image.save(path)


def _methods(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.method for point in points if point.evaluations))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(14)


def _panel(draw: ImageDraw.ImageDraw, points: Sequence[Point], left: int, key: str, title: str) -> None:
    width, height = PANEL
    values = [getattr(point, key) for point in points]
    low, high = min(values), max(values)
    pad = 0.08 * (high - low or 1.0)
    low, high = low - pad, high + pad

    def place(evaluations: float, value: float) -> tuple[float, float]:
        across = math.log(evaluations) / math.log(TICKS[-1])
        x = left + MARGIN + across * (width - MARGIN - 30)
        return x, TOP + (high - value) / (high - low) * (height - TOP - 50)

    draw.text((left + MARGIN, 18), title, "black", _font())
    for tick in TICKS:
        x, bottom = place(tick, low)
        draw.line([(x, TOP), (x, bottom)], "#e4e4e4")
        draw.text((x - 8, bottom + 6), str(tick), "black", _font())
    for share in range(5):
        value = low + (high - low) * share / 4
        start, end = place(1, value), place(TICKS[-1], value)
        draw.line([start, end], "#e4e4e4")
        draw.text((left + 12, start[1] - 8), f"{value:.2f}", "black", _font())
    for point in points:
        if point.evaluations == 0:
            start, end = place(1, getattr(point, key)), place(TICKS[-1], getattr(point, key))
            draw.line([start, end], "#666666", 2)
            draw.text((end[0] - 60, end[1] - 20), point.method, "#666666", _font())
    for index, name in enumerate(_methods(points)):
        line = [place(p.evaluations, getattr(p, key)) for p in points if p.method == name]
        colour = COLOURS[index % len(COLOURS)]
        if len(line) > 1:
            draw.line(line, colour, 3)
        for x, y in line:
            draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
    x, bottom = place(1, low)
    draw.text((x + 100, bottom + 26), "network evaluations", "black", _font())
