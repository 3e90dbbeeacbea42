"""The soak, scaled in time: the frames of two minutes at 5 frames/s in 12 seconds at 50."""

from __future__ import annotations

import pytest

from benchmarks.soak import Soak, measure, render
from tests.media.needs import needs_gstreamer

FRAMES = 600


@pytest.fixture(scope="module")
def soak() -> Soak:
    return measure(FRAMES / 50 / 60, "cxr-x4-fast", "24x16", 50, 1)


@needs_gstreamer
def test_every_frame_is_written_or_counted_as_dropped(soak: Soak) -> None:
    assert soak.report.written == FRAMES
    # Up to two newer ones may have arrived when the last was written.
    assert 0 <= soak.report.captured - soak.report.dropped - soak.report.written <= 2


@needs_gstreamer
def test_memory_stays_flat(soak: Soak) -> None:
    assert len(soak.memory) > 5
    assert soak.growth < 4 << 20


@needs_gstreamer
def test_the_summary_says_lag_and_interval(soak: Soak) -> None:
    assert soak.report.latency_ms["p50"] >= soak.report.process_ms["p50"] * 0.9
    text = render(soak)
    assert "| frames captured, written, dropped |" in text
    assert "(one frame interval: 20 ms)" in text
