"""Old and new results: faster, slower, noise, and what must not be compared."""

import numpy as np
import pytest

from edgesr.bench.compare import compare_documents
from edgesr.bench.record import Reading
from edgesr.errors import UsageError
from tests.bench.records import document, row


def samples(mean, seed):
    return tuple(np.random.default_rng(seed).normal(mean, mean * 0.03, 150))


def test_each_row_gets_its_verdict_with_an_interval():
    old = document(row("a", samples(10, 1)), row("b", samples(10, 2)), row("c", samples(10, 3)))
    new = document(row("a", samples(9, 4)), row("b", samples(11, 5)), row("c", samples(10, 6)))
    compared = compare_documents(old, new).rows
    assert [one.verdict for one in compared] == ["faster", "slower", "noise"]
    assert compared[0].change.low < 0.9 < compared[0].change.high
    assert compared[0].quality == {"psnr": (33.1, 33.1)}


def test_rows_of_one_side_are_named_and_failed_ones_are_not_compared():
    failed = row("c", samples=(), status="failed", reasons=("no memory",))
    compared = compare_documents(document(row("a"), row("c")), document(row("b"), failed))
    assert compared.only_old == ("a, fp32, onnxruntime:cpu",)
    assert compared.only_new == ("b, fp32, onnxruntime:cpu",)
    (one,) = compared.rows
    assert one.verdict == "not compared"
    assert one.notes == ("the new row is failed: no memory",)


def test_another_machine_or_other_pictures_are_refused_unless_forced():
    other = document(machine={"cpu": Reading("Intel Xeon", "/proc/cpuinfo")}, settings={"pictures": ["b"]})
    with pytest.raises(UsageError, match=r"cpu: AMD EPYC and Intel Xeon; pictures are not the same; .*--force"):
        compare_documents(document(), other)
    forced = compare_documents(document(), other, force=True)
    assert len(forced.differences) == 2
    assert forced.rows[0].verdict == "noise"


def test_another_model_of_the_same_name_and_other_conditions_are_told():
    (one,) = compare_documents(document(), document(row(sha256="cd" * 32, conditions={"graph": "CUDA graph"}))).rows
    assert one.notes[0] == "the model is another one of the same name"
    assert "other conditions: graph" in one.notes[1]


def test_results_without_a_common_row_and_with_doubled_rows_are_refused():
    with pytest.raises(UsageError, match="in common"):
        compare_documents(document(row("a")), document(row("b")))
    with pytest.raises(UsageError, match="two rows of the same"):
        compare_documents(document(row("a"), row("a")), document(row("a")))
