"""What is left when a run is killed or interrupted, and how it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from edgesr.image import read
from tests.cli.commands import Answer, environment, files, run, start
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture

MANIFEST = "edgesr-manifest.jsonl"
COUNT = 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``in`` with pictures that take a quarter of a second each in small tiles."""
    monkeypatch.chdir(tmp_path)
    first = picture(tmp_path / "in/0.png", 400, 400)
    for number in range(1, COUNT):
        (tmp_path / f"in/{number}.png").write_bytes(first.read_bytes())
    return tmp_path


def stop(child: subprocess.Popen[bytes], number: int, when: Callable[[], bool]) -> Answer:
    """Send a signal as soon as ``when`` is true."""
    end = monotonic() + 60
    while not when():
        assert child.poll() is None, child.communicate()
        assert monotonic() < end
        sleep(0.005)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    return Answer(child.returncode, out.decode(), err.decode())


def done(folder: Path) -> list[str]:
    """The pictures that the manifest says are done."""
    manifest = folder / MANIFEST
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [record["output"] for record in records if record["status"] == "done"]


def is_writing(folder: Path) -> bool:
    """Tell whether rows have reached a temporary file."""
    return any(path.stat().st_size > 4096 for path in folder.glob(".*.part"))


def test_a_killed_folder_run_goes_on_where_it_stopped(models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.folder, "-o", "out", "--tile", "40")
    out = folder / "out"
    killed = stop(start(*words), signal.SIGKILL, lambda: len(done(out)) >= 2 and is_writing(out))
    assert killed.code == -signal.SIGKILL
    before = done(out)
    assert 2 <= len(before) < COUNT
    visible = [name for name in files(out) if not name.startswith(".")]
    assert all(read(out / name).pixels.shape == (800, 800, 1) for name in visible)
    stamps = {name: (out / name).stat().st_mtime_ns for name in before}
    again = run(*words, "--json")
    statuses = [record["status"] for record in again.document["results"]]
    assert statuses == ["skipped"] * len(before) + ["done"] * (COUNT - len(before))
    assert stamps == {name: (out / name).stat().st_mtime_ns for name in before}
    assert {name for name in files(out) if not name.startswith(".")} == {f"{n}_x2.png" for n in range(COUNT)}
    enlarged = run("run", "out", "-m", models.folder, "-o", "twice", "--json").document
    assert len(enlarged["results"]) == COUNT, "what a killed run leaves behind must not be taken for pictures"


def test_a_run_killed_into_its_own_folder_knows_its_outputs(models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.folder, "-o", "in", "--tile", "40", "--json")
    stop(start(*words), signal.SIGKILL, lambda: len(done(folder / "in")) >= 2)
    document = run(*words).document
    assert [Path(record["input"]).name for record in document["results"]] == [f"{n}.png" for n in range(COUNT)]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_killed_picture_leaves_no_output(models: Models, tmp_path: Path, suffix: str) -> None:
    source, target = picture(tmp_path / "in/a.png", 700, 700), tmp_path / f"out/b.{suffix}"
    target.parent.mkdir()
    words = ("run", source, "-m", models.folder, "-o", target, "--tile", "32")
    stop(start(*words), signal.SIGKILL, lambda: any(target.parent.glob(".*.part")))
    assert not target.exists()
    (left,) = target.parent.glob(".*.part")
    target.write_bytes(b"an older file")
    stop(start(*words), signal.SIGKILL, lambda: set(target.parent.glob(".*.part")) - {left})
    assert target.read_bytes() == b"an older file"
    assert not left.exists(), "what a killed run left is removed by the next"
    assert run(*words).code == 0
    assert files(target.parent) == [target.name]
    assert read(target).pixels.shape == (1400, 1400, 1)


def test_an_interrupted_picture_leaves_nothing(models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "in/a.png", 700, 700)
    target = tmp_path / "out/b.png"
    words = ("run", source, "-m", models.folder, "-o", target, "--tile", "32")
    answer = stop(start(*words), signal.SIGINT, lambda: target.parent.exists() and is_writing(target.parent))
    assert (answer.code, answer.out) == (130, "")
    assert answer.error == "interrupted; finished pictures are kept, nothing is half-written"
    assert files(tmp_path) == ["in/a.png"]


def test_an_interrupted_folder_keeps_what_is_finished(models: Models, folder: Path) -> None:
    words = ("run", "in", "-m", models.folder, "-o", "out", "--tile", "40", "--json")
    out = folder / "out"
    answer = stop(start(*words), signal.SIGINT, lambda: len(done(out)) >= 2)
    assert (answer.code, answer.out) == (130, "")
    assert answer.error.startswith("interrupted")
    assert sorted(done(out)) == files(out)
    statuses = [record["status"] for record in run(*words).document["results"]]
    assert statuses.count("skipped") >= 2


@pytest.mark.parametrize("delay", [0.0, 0.04, 0.08, 0.16, 0.3])
def test_an_interrupt_while_it_starts_is_no_traceback(models: Models, tmp_path: Path, delay: float) -> None:
    source = picture(tmp_path / "a.png", 600, 600)
    script = "import edgesr.cli, sys; sys.stdout.write('!'); sys.stdout.flush(); sys.exit(edgesr.cli.main())"
    words = [sys.executable, "-c", script, "run", source, "-m", models.folder, "--tile", "32"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert child.stdout is not None
    assert child.stdout.read(1) == b"!"
    sleep(delay + 0.005)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err.count(b"\n"), b"interrupted" in err) == (130, 1, True), err.decode()
    assert files(tmp_path) == ["a.png"]


def test_a_termination_is_an_interrupt(models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "in/a.png", 700, 700)
    target = tmp_path / "out/b.png"
    words = ("run", source, "-m", models.folder, "-o", target, "--tile", "32")
    answer = stop(start(*words), signal.SIGTERM, lambda: target.parent.exists() and is_writing(target.parent))
    assert answer.code == 128 + signal.SIGTERM
    assert answer.error.startswith("terminated")
    assert files(tmp_path) == ["in/a.png"]


def test_the_callers_handlers_are_left_alone(call: Call, models: Models, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)]
    assert call("run", picture(tmp_path / "a.png"), "-m", models.folder).code == 0
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)]


def test_an_interrupt_while_the_disk_takes_its_time_leaves_nothing(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)

    source = picture(tmp_path / "a.png")
    monkeypatch.setattr("os.fsync", slow)
    answer = call("run", source, "-m", models.folder)
    assert (answer.code, answer.error.startswith("interrupted")) == (130, True)
    assert files(tmp_path) == ["a.png"]
