"""A bug report holds what a maintainer needs, and nothing that says who, where or which patient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgesr.cli.scrub import Scrubber
from tests.cli.conftest import Call

SCRUB = Scrubber(home="/home/anna", user="anna", host="scanner-7")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("reading /home/anna/films/Doe_Jane_1961.dcm failed", "reading ~/films/PICTURE.dcm failed"),
        ("picture 'Doe Jane.PNG' is truncated", "picture 'Doe PICTURE.PNG' is truncated"),
        ("rtsp://admin:hunter2@10.1.2.30:554/live", "rtsp://admin:***@ADDRESS:554/live"),
        ("anna@scanner-7: no route to 192.168.1.20", "USER@HOST: no route to ADDRESS"),
        ("mail anna.b@clinic.example", "mail EMAIL"),
        (
            "TensorRT 10.13.3.9, version 8.6.1.6, tensorrt==11.4.0.106",
            "TensorRT 10.13.3.9, version 8.6.1.6, tensorrt==11.4.0.106",
        ),
        ("10.3.0.30",) * 2,
        ("link 3c:6d:66:01:02:03 up, Serial Number: 142342", "link MAC up, Serial Number: SERIAL"),
        ("listening on 127.0.0.1 and 0.0.0.0", "listening on 127.0.0.1 and ADDRESS"),
        ("annabel uses scanner-70",) * 2,
    ],
)
def test_text_loses_what_is_private_and_keeps_versions(text: str, clean: str) -> None:
    assert SCRUB.text(text) == clean


def test_every_string_of_a_document_is_scrubbed() -> None:
    document = {"a": ["/home/anna/x", 3, None], "b": {"c": ("scanner-7", True)}}
    assert SCRUB.tree(document) == {"a": ["~/x", 3, None], "b": {"c": ["HOST", True]}}


def test_the_report_has_its_parts_and_the_end_of_the_log(call: Call, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n" for number in range(1000)) + "rtsp://u:secret@cam/ failed\n")
    answer = call("report", "-o", str(tmp_path / "report.json"), "--log", str(log))
    assert answer.code == 0
    assert answer.out.strip() == str(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    parts = {"edgesr", "created", "checks", "machine", "facts", "packages", "environment", "models", "engines", "log"}
    assert set(document) == parts
    assert {model["name"] for model in document["models"]} >= {"cxr-x4", "cxr-x4-fast"}
    assert document["packages"]["numpy"]
    assert (len(document["log"]), document["log"][-1]) == (400, "rtsp://u:***@cam/ failed")


def test_the_environment_holds_no_tokens(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_MODULE_LOADING", "LAZY")
    monkeypatch.setenv("HF_TOKEN", "do-not-show")
    answer = call("report", "--json")
    assert json.loads(answer.out)["environment"]["CUDA_MODULE_LOADING"] == "LAZY"
    assert "do-not-show" not in answer.out


@pytest.mark.parametrize("words", [["--log", "absent.txt"], ["-o", "absent/report.json"]])
def test_bad_paths_are_one_line(call: Call, tmp_path: Path, words: list[str]) -> None:
    answer = call("report", words[0], str(tmp_path / words[1]))
    assert answer.code == 2 or answer.code == 6
    assert len(answer.err.strip().splitlines()) == 1
    assert "absent" in answer.err
