"""Documents survive JSON; damaged files are refused in one line."""

import json
import math

import pytest

from edgesr.bench.record_json import from_json, read_document, to_json, write_document
from edgesr.errors import UsageError
from tests.bench.records import document, row


def test_a_document_comes_back_from_its_file_as_it_was(tmp_path):
    written = document(row(), row("broken", samples=(), status="failed", reasons=("no such model",), quality=None))
    write_document(written, tmp_path / "result.json")
    assert read_document(tmp_path / "result.json") == written


def test_the_file_holds_summary_and_raw_samples(tmp_path):
    data = to_json(document())
    stage = data["rows"][0]["stages"]["end_to_end"]
    assert stage["samples"] == [10.0, 11.0, 12.0, 13.0]
    assert stage["summary"]["median"] == 11.5
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_what_is_infinite_becomes_null():
    data = to_json(document(row(quality={"mean": {"psnr": math.inf}})))
    assert data["rows"][0]["quality"]["mean"]["psnr"] is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.pop("kind"), "no result of `edgesr bench"),
        (lambda data: data.update(schema=99), "schema 99"),
        (lambda data: data.pop("machine"), "'machine' is missing"),
        (lambda data: data["rows"][0].pop("sha256"), "'sha256' is missing"),
        (lambda data: data["rows"][0].update(status="great"), "status 'great'"),
        (lambda data: data["rows"][0].update(stages={"lunch": {"samples": [1]}}), "stage 'lunch'"),
        (lambda data: data["rows"][0]["stages"]["end_to_end"].update(samples=["soon"]), "damaged"),
        (lambda data: data.update(rows=[3]), "damaged"),
    ],
)
def test_a_damaged_document_is_refused_in_one_line(change, told):
    data = to_json(document())
    change(data)
    with pytest.raises(UsageError, match=told) as caught:
        from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b'"text"'])
def test_a_file_that_is_no_document_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "old.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"old\.json"):
        read_document(path)
