"""Standard streams that are closed, full or not listened to, and places that cannot be written."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from edgesr.image import read
from tests.cli.commands import environment, files, run, start
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture

FULL = Path("/dev/full")


@pytest.mark.parametrize("words", [["--help"], ["models", "--json"], ["run", "a.png"], ["run", "a.png", "--json"]])
def test_a_reader_that_goes_away_is_no_error(models: Models, tmp_path: Path, words: list[str]) -> None:
    picture(tmp_path / "a.png")
    reading, writing = os.pipe()
    os.close(reading)
    model = ["-m", models.folder] if words[0] == "run" else []
    answer = run(*words, *model, stdout=writing, cwd=tmp_path)
    os.close(writing)
    assert answer.code == 141
    assert [line for line in answer.err.splitlines() if " in " not in line] == []


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["models", "--json"], ["run", "a.png"], ["run", "a.png", "--json"]])
def test_a_full_standard_output_is_one_line(models: Models, tmp_path: Path, words: list[str]) -> None:
    picture(tmp_path / "a.png")
    model = ["-m", models.folder] if words[0] == "run" else []
    with FULL.open("w") as full:
        answer = run(*words, *model, stdout=full, cwd=tmp_path)
        silent = run(*words, *model, stdout=full, stderr=full, cwd=tmp_path)
    said = [line for line in answer.err.splitlines() if " in " not in line]
    assert said == ["edgesr: standard output cannot be written: No space left on device; write it somewhere else"]
    assert answer.code == silent.code == 3


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_change_nothing(models: Models, tmp_path: Path, redirection: str) -> None:
    source = picture(tmp_path / "a.png")
    for command, code in ((f"run {source} -m {models.folder}", 0), ("run none.png --nonsense", 2)):
        words = ["sh", "-c", f"exec {sys.executable} -m edgesr {command} {redirection}"]
        child = subprocess.run(words, env=environment(), capture_output=True, timeout=60, check=False)
        assert child.returncode == code, child
    assert read(tmp_path / "a_x2.png").pixels.shape == (24, 32, 1)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "jpg", "dcm"])
def test_a_full_disk_leaves_nothing(models: Models, tmp_path: Path, suffix: str) -> None:
    source = picture(tmp_path / "in/a.dcm", 200, 200)
    target = tmp_path / f"out/b.{suffix}"
    answer = run("run", source, "-m", models.folder, "-o", target, preexec_fn=limit_file_size)
    assert answer.code == 6, answer.err
    assert answer.error == f"{target}: the file system cannot hold a file this large; write to another disk"
    assert files(tmp_path) == ["in/a.dcm"]


def test_a_full_disk_ends_a_folder_run_with_one_line_and_it_resumes(models: Models, tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / f"in/{number}.png", 8, 8)
    picture(tmp_path / "in/1.png", 200, 200)
    words = ("run", tmp_path / "in", "-m", models.folder, "-o", tmp_path / "out")
    answer = run(*words, preexec_fn=limit_file_size)
    assert answer.code == 6
    assert "Traceback" not in answer.err
    assert files(tmp_path / "out") == ["0_x2.png", "2_x2.png", "3_x2.png"]
    document = run(*words, "--json").document
    assert [record["status"] for record in document["results"]] == ["skipped", "done", "skipped", "skipped"]


def limit_file_size() -> None:
    """Let no file of this process grow beyond 8 KiB: writing more fails as on a file system's limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


@pytest.mark.parametrize("place", ["a.png/b.png", "a.png/deep/b.png", "/proc/edgesr/b.png", "/dev/null", "/dev/full"])
def test_a_place_that_cannot_be_written_is_one_line(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    answer = call("run", "a.png", "-m", models.folder, "-o", place)
    assert (answer.code, answer.out) == (6, "")
    assert answer.error.split(":")[0] in (place, str(Path(place).parent), f"{place}/a_x2.png")
    assert files(tmp_path) == ["a.png"]


def test_a_read_only_folder_and_an_unreadable_picture_are_one_line(models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    secret = picture(tmp_path / "secret/b.png")
    secret.chmod(0)
    for name, mode in (("closed", 0), ("read-only", 0o555)):
        (tmp_path / name).mkdir(mode=mode)
    for words, name in (
        ([source, "-o", tmp_path / "read-only"], "read-only/a_x2.png"),
        ([source, "-o", tmp_path / "read-only/new/"], "read-only/new"),
        ([source, "-o", tmp_path / "closed/b.png"], "closed/b.png"),
        ([tmp_path / "secret", "-o", tmp_path / "read-only"], "read-only/edgesr-manifest.jsonl"),
        ([secret], "secret/b.png"),
        ([tmp_path / "closed"], "closed"),
        ([tmp_path / "closed/b.png"], "closed/b.png"),
    ):
        answer = run("run", *words, "-m", models.folder, preexec_fn=obey_permissions)
        assert (answer.code, answer.out) == (6, ""), answer
        assert answer.error.startswith(str(tmp_path / name))
        assert "ermission" in answer.error or "not writable" in answer.error
    (tmp_path / "closed").chmod(0o755)
    assert files(tmp_path) == ["a.png", "secret/b.png"]


def obey_permissions() -> None:
    """Take the right to ignore permissions from root: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def test_a_terminal_shows_a_bar_and_other_places_lines(models: Models, tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"in/{number}.png")
    outside, inside = os.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    child = start("run", tmp_path / "in", "-m", models.folder, stderr=inside)
    child.communicate(timeout=60)
    os.close(inside)
    shown = os.read(outside, 65536).decode()
    os.close(outside)
    assert "images/s" in shown or "s/ images" in shown
    assert "3 restored" in shown
