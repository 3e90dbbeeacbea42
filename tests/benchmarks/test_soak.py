"""The soak, for a few seconds."""

from __future__ import annotations

from benchmarks.soak import measure, render
from tests.media.needs import needs_gstreamer


@needs_gstreamer
def test_a_short_soak_counts_every_frame_and_stays_within_memory() -> None:
    soak = measure(0.05, "cxr-x4-fast", "24x16", 5, 1)
    assert soak.report.written == 15
    # Up to two newer ones may have arrived when the last was written.
    assert soak.report.captured - soak.report.dropped - soak.report.written <= 2
    assert soak.report.latency_ms["p50"] >= soak.report.process_ms["p50"] * 0.9
    text = render(soak)
    assert "| frames captured, written, dropped |" in text
    assert "(one frame interval: 200 ms)" in text
