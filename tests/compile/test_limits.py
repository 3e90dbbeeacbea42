"""Memory that builds may take: part of what is free where GPU and CPU share it, and what the user says."""

from __future__ import annotations

import pytest

from edgesr.cli.build_options import parse_bytes
from edgesr.compile import limits
from edgesr.compile.limits import find_limits, show_bytes
from edgesr.compile.recipe import BuildOptions, Limits
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
from tests.fakes.cudart import FakeCudart, Gpu

MIB, GIB = 1 << 20, 1 << 30


def device(**facts: object) -> Device:
    return Device(CudaRuntime(FakeCudart(Gpu(**facts)), "fake"), 0)


@pytest.mark.parametrize(
    ("free", "workspace", "tuning"),
    [
        (6 * GIB, 512 * MIB, 4608 * MIB),
        (2 * GIB, 512 * MIB, 1536 * MIB),
        (1 * GIB, 256 * MIB, 768 * MIB),
        (500 * MIB, 96 * MIB, 256 * MIB),
        (10 * MIB, 32 * MIB, 256 * MIB),
    ],
)
def test_a_shared_memory_is_divided_by_what_is_free(monkeypatch, free, workspace, tuning):
    monkeypatch.setattr(limits, "available_memory", lambda: free)
    assert find_limits(device(total_memory=8 * GIB), BuildOptions()) == Limits(workspace, tuning)


def test_the_smaller_of_both_counts_of_free_memory_holds(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 1 << 50)
    found = find_limits(device(total_memory=GIB), BuildOptions())
    assert found.workspace is not None
    assert found.workspace <= 256 * MIB


def test_a_workspace_that_was_asked_for_is_given_and_a_gpu_with_own_memory_has_no_other_limit(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: GIB)
    asked = BuildOptions(workspace=2 * GIB)
    assert find_limits(device(), asked) == Limits(2 * GIB, 768 * MIB)
    assert find_limits(device(is_integrated=False), asked) == Limits(2 * GIB, None)
    assert find_limits(device(is_integrated=False), BuildOptions()) == Limits(None, None)


@pytest.mark.parametrize(
    ("text", "count"), [("512M", 512 * MIB), ("2g", 2 * GIB), ("65536K", 64 * MIB), ("512MiB", 512 * MIB), ("1GB", GIB)]
)
def test_sizes_are_read(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "512", "M", "-1M", "1.5G", "1T", "1MM", "9999999999G", "٣M", "1 M"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ValueError, match="such as 512M or 2G"):
        parse_bytes(text)


def test_sizes_are_shown():
    assert show_bytes(None) == "no limit"
    assert show_bytes(512 * MIB) == "512 MiB"
