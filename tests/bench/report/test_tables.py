"""Names, numbers, the terminal table and Markdown."""

from __future__ import annotations

import pytest

from edgesr.bench.pareto import recommend
from edgesr.bench.record import Reading
from edgesr.bench.report.axis import Axis
from edgesr.bench.report.markdown import markdown
from edgesr.bench.report.names import titles
from edgesr.bench.report.numbers import quantity, show_reading, significant
from edgesr.bench.report.table import terminal
from tests.bench.records import document, row


def test_rows_are_called_by_what_tells_them_apart():
    assert titles([row("a"), row("b")]) == ["a", "b"]
    assert titles([row("a"), row("a", precision="fp16")]) == ["a fp32", "a fp16"]
    assert titles([row("d", steps=4), row("d", steps=8, tile=64)]) == ["d 4 steps", "d 8 steps tile 64"]
    assert titles([row("/home/me/net.onnx"), row("/home/me/net.onnx", device="openvino:cpu")]) == [
        "net.onnx onnxruntime:cpu",
        "net.onnx openvino:cpu",
    ]
    sharp, true = ({"controls": {"fidelity": value}} for value in (0, 1))
    assert titles([row("a", asked=sharp), row("a", asked=true)]) == ["a fidelity 0", "a fidelity 1"]
    assert titles([row("a"), row("a")]) == ["a #1", "a #2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "0.0123"),
        (12.34, "12.3"),
        (1234.5, "1230"),
        (0.99961, "1.00"),
        (0, "0"),
        (float("inf"), "∞"),
        (-2, "-2.00"),
    ],
)
def test_numbers_keep_three_digits(value, text):
    assert significant(value) == text


def test_quantities_take_the_prefix_that_people_use():
    assert [quantity(*it) for it in ((12.3, "ms"), (45_600, "ms"), (0.05, "J"), (1.5e9, "bytes"), (2e8, "bytes"))] == [
        "12.3 ms",
        "45.6 s",
        "50.0 mJ",
        "1.50 GB",
        "200 MB",
    ]


def test_a_fact_that_is_not_known_says_why():
    assert show_reading(Reading(None, "nvpmodel", "", "this is no Jetson")) == "unknown (this is no Jetson)"
    assert show_reading(Reading(True, "x")) == "yes"


def test_the_terminal_table_marks_the_best_and_the_invalid():
    rows = (row("good"), row("hot", status="invalid", reasons=("the clock fell",)), row("blind", quality=None))
    lines = terminal(document(*rows))
    assert lines[0].split()[:3] == ["model", "median", "ms"]
    assert lines[1].endswith("best")
    assert lines[2].endswith("INVALID")
    assert lines[3].split()[-1] == "-"
    assert "hot: INVALID: the clock fell" in lines
    assert len({len(line) for line in lines[1:3]}) <= 2


def test_columns_that_no_row_fills_are_left_out():
    bare = row("bare", quality=None, power={}, throughput=(), first_ms=None, load_ms=None, memory={})
    assert terminal(document(bare))[0].split() == ["model", "median", "ms", "p90", "ms", "p99", "ms"]


def test_a_row_that_failed_has_dashes():
    failed = row("gone", samples=(), quality=None, status="failed", reasons=("cannot load",))
    assert "gone: FAILED: cannot load" in terminal(document(row("good"), failed))


def test_markdown_cannot_be_broken_by_names():
    text = markdown(document(row("a|b\n<script>")), recommend([row("a")], least=30))
    assert "a\\|b &lt;script>" in text
    widths = {
        line.replace("\\|", "").count("|")
        for line in text.splitlines()
        if line.startswith("| a\\|b") or line.startswith("| model")
    }
    assert len(widths) == 1
    assert "| cpu | AMD EPYC | /proc/cpuinfo |" in text
    assert "**a: PSNR 33.10 dB" in text


def test_a_wide_axis_is_logarithmic_and_has_round_ticks():
    axis = Axis.around([3, 900], 0, 100, may_be_log=True)
    assert axis.is_log
    assert axis.ticks() == [3, 10, 30, 100, 300, 1000]
    assert axis.place(axis.low) == pytest.approx(0)
    assert axis.place(axis.high) == pytest.approx(100)
    narrow = Axis.around([33.0, 36.5], 100, 0)
    assert not narrow.is_log
    assert narrow.ticks() == [33, 34, 35, 36]
    assert Axis.around([5.0], 0, 10).ticks()
