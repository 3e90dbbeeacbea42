"""The rows of a benchmark in columns."""

from __future__ import annotations

from edgesr.bench.record import Document, Row

_HEAD = ("model", "precision", "device", "median ms", "p90 ms", "p99 ms", "images/s", "J/image", "PSNR dB", "SSIM", "")


def table_lines(document: Document) -> list[str]:
    """Return the lines of the table, and what is to be said about each row below it."""
    cells = [_HEAD, *(_cells(row) for row in document.rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [
        "  ".join(_placed(text, width, i) for i, (text, width) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in cells
    ]
    for row in document.rows:
        lines += [f"{row.model}: {row.status.upper()}: {reason}" for reason in row.reasons]
        lines += [f"{row.model}: {text}" for text in row.notes]
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    latency = row.latency
    times = [latency.median, latency.p90, latency.p99] if latency else [None] * 3
    rate = max((one.images_per_second for one in row.throughput), default=1e3 / latency.mean if latency else None)
    figures = [
        *(_number(ms, 2) for ms in times),
        _number(rate, 1),
        _number(row.joules_per_image, 3),
        _number(row.figure("psnr"), 2),
        _number(row.figure("ssim"), 4),
    ]
    return (row.model, row.precision, row.device, *figures, "" if row.status == "valid" else row.status.upper())


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _placed(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 3 or column == len(_HEAD) - 1 else text.rjust(width)
