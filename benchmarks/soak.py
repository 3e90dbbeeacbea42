"""Run a live camera through a network for a long time: memory, lag, drops."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic

from benchmarks.environment import Environment, load_per_core, record_environment
from edgesr import Flow, load, open_sink, open_source
from edgesr.media.flow import Report

RESULTS = Path(__file__).resolve().parent / "results"
_EVERY = 1.0
_MIB = 1 << 20


@dataclass(frozen=True)
class Soak:
    """What one run measured."""

    environment: Environment
    load_after: float | None
    model: str
    size: str
    fps: float
    threads: int
    capture: str
    report: Report
    memory: list[tuple[float, int]]
    """Seconds since the begin, and resident bytes of this process."""

    @property
    def growth(self) -> int:
        """Bytes by which the last fifth exceeds the fifth after the warm-up, as medians."""
        fifth = max(1, len(self.memory) // 5)
        after = [size for _, size in self.memory]
        return int(median(after[-fifth:]) - median(after[fifth : 2 * fifth]))

    @property
    def longest_gap(self) -> float:
        """Seconds between the two samples of memory that lie farthest apart: how long this process got no processor."""
        times = [seconds for seconds, _ in self.memory]
        return max((later - sooner for sooner, later in pairwise(times)), default=0.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="how long (default: 30)")
    parser.add_argument("--model", default="cxr-x4-fast", metavar="MODEL", help="default: cxr-x4-fast")
    parser.add_argument("--size", default="64x48", metavar="WxH", help="of the camera's frames (default: 64x48)")
    parser.add_argument("--fps", type=int, default=5, metavar="N", help="of the camera (default: 5)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of the network (default: 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="folder for the .json and .md files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the summary and write both files."""
    soak = measure(arguments.minutes, arguments.model, arguments.size, arguments.fps, arguments.threads)
    text = render(soak)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = f"soak-{soak.environment.date}-{soak.environment.kind}"
    (arguments.out / f"{stem}.json").write_text(json.dumps(asdict(soak), default=str) + "\n")
    (arguments.out / f"{stem}.md").write_text(text)


def measure(minutes: float, model: str, size: str, fps: int, threads: int) -> Soak:
    """Show GStreamer's test camera to a network for so many minutes, its results to nobody."""
    environment = record_environment()
    width, height = (int(side) for side in size.split("x"))
    camera = (
        "gst://videotestsrc is-live=true pattern=ball ! "
        f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
    )
    memory: list[tuple[float, int]] = []
    begin = monotonic()

    def look(report: Report) -> None:
        now = monotonic() - begin
        if not memory or now - memory[-1][0] >= _EVERY:
            memory.append((round(now, 1), resident()))

    with open_source(camera) as source, load(model, "cpu", threads=threads) as pipeline:
        sink = open_sink("gst://fakesink sync=false")
        limit = int(minutes * 60 * fps)
        flow = Flow(source, pipeline, sink, picture=lambda image: image, limit=limit)
        report = flow.run(look)
        capture = source.path
    return Soak(environment, load_per_core(), model, size, fps, threads, capture, report, memory)


def resident() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def render(soak: Soak) -> str:
    """Write the summary as Markdown."""
    report, environment = soak.report, soak.environment
    latency, network = report.latency_ms, report.process_ms
    added = {name: latency[name] - network[name] for name in ("p50", "p95", "p99")}
    interval = 1e3 / soak.fps
    quiet = "" if environment.is_quiet else " **Other work was running.**"
    sizes = [size for _, size in soak.memory]
    lines = [
        f"# Soak, {environment.date}, {environment.kind}",
        "",
        f"* Machine: {environment.machine}; {environment.system}; commit {environment.commit}",
        f"* Load per core before {environment.load}, after {soak.load_after}.{quiet}",
        f"* {soak.capture} test camera {soak.size} at {soak.fps:g} frames/s, {soak.model} on {soak.threads} thread(s), "
        "results encoded by nobody (`fakesink` in a child process)",
        "",
        "| | |",
        "| --- | --- |",
        f"| duration | {report.seconds / 60:.1f} min |",
        f"| frames captured, written, dropped | {report.captured}, {report.written}, {report.dropped} |",
        f"| rate of results | {report.fps:.2f} frames/s |",
        f"| arrival to output, p50 / p95 / p99 | {_three(latency)} |",
        f"| network alone, p50 / p95 / p99 | {_three(network)} |",
        f"| added by everything else | {_three(added)} (one frame interval: {interval:.0f} ms) |",
        f"| longest gap between samples of memory, taken every {_EVERY:g} s | {soak.longest_gap:.1f} s |",
        f"| resident memory, least and most | {min(sizes) / _MIB:.1f} and {max(sizes) / _MIB:.1f} MiB |",
        f"| growth, last fifth over second fifth (medians) | {soak.growth / _MIB:+.2f} MiB |",
    ]
    return "\n".join(lines) + "\n"


def _three(milliseconds: dict[str, float]) -> str:
    return " / ".join(f"{milliseconds[name]:.1f}" for name in ("p50", "p95", "p99")) + " ms"
