"""``edgesr run --ray``: the words, what is refused, and a real Ray on this machine where it is installed."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgesr.cli.ray_options import settle_ray
from edgesr.cli.ray_parcel import make_parcel
from edgesr.errors import ModelError
from edgesr.image import Picture, write
from tests.cli.commands import files, start
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture

MANIFEST = "edgesr-manifest.jsonl"
COUNT = 200


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def kill_one_worker(command: subprocess.Popen[bytes], manifest: Path, after: int) -> None:
    """Kill a worker of Ray with SIGKILL once so many pictures are done; nothing where the command ends before that."""
    until = time.monotonic() + 180
    while manifest.read_text().count('"status": "done"') < after:
        assert time.monotonic() < until, "the run does not come to its half"
        if command.poll() is not None:
            return
        time.sleep(0.02)
    children = psutil.Process(command.pid).children(recursive=True)
    workers = [child for child in children if "EdgesrWorker" in " ".join(child.cmdline())]
    workers[0].send_signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (edgesr[ray])")
def test_a_killed_worker_loses_and_doubles_nothing(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("in/deep").mkdir(parents=True)
    for index in range(COUNT):
        place = "in/deep" if index % 10 == 0 else "in"
        write(f"{place}/p{index:03}.png", Picture((rng.integers(0, 256, (96, 80, 1), np.uint8),)))
    # A run without Ray that did some of them, from which one with Ray goes on.
    common = ["-m", models.package, "-o", "out", "--json", "--device", "cpu"]
    assert call("run", "in/p*[1-5].png", *common).code == 0
    known = COUNT // 2
    Path("in/bad.png").write_text("no picture")
    child = start("run", "in", "-r", *common, "--ray", "local", "--actors", "2")
    try:
        kill_one_worker(child, Path("out") / MANIFEST, known + (COUNT - known) // 2)
        out, err = child.communicate(timeout=180)
    finally:
        child.kill()
    if child.returncode == 3 and b"timed out during startup" in err:
        pytest.skip("this machine is too busy: Ray did not start within the 30 s that it gives itself, twice")
    document = json.loads(out)
    assert (child.returncode, document["failed"]) == (6, 1), err
    assert (document["ray"]["workers_died"], document["ray"]["actors"]) == (1, 2)
    statuses = Counter(record["status"] for record in document["results"])
    assert statuses == {"skipped": known, "done": COUNT - known, "failed": 1}
    assert len(files(Path("out"))) == COUNT
    found = Counter((line["status"], line["output"]) for line in lines(Path("out")))
    assert Counter(status for status, _ in found) == {"begun": COUNT + 1, "done": COUNT, "failed": 1}
    assert set(found.values()) == {1}
    # The manifest is that of a folder run: one without Ray has nothing left to do but what failed.
    plain = call("run", "in", "-r", *common)
    assert Counter(record["status"] for record in plain.document["results"]) == {"skipped": COUNT, "failed": 1}
    assert call("run", "in/p009.png", "-m", models.package, "-o", "alone.png", "--device", "cpu").code == 0
    assert Path("out/p009_x2.png").read_bytes() == Path("alone.png").read_bytes()


def test_without_ray_the_extra_is_named(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "ray", None)
    answer = call("run", tmp_path / "a.png", "-m", models.package, "--ray")
    assert (answer.code, "pip install 'edgesr[ray]'" in answer.error) == (3, True)


def test_an_address_where_nobody_answers_is_refused_at_once(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is not installed (edgesr[ray])")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = call("run", picture(tmp_path / "a.png"), "-m", models.package, "--ray", address)
    assert (answer.code, f"--ray {address}: no Ray cluster answers there" in answer.error) == (3, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--actors", "2"], "give --ray too"),
        (["--ray=ray://head:10001"], "is an address of Ray Client"),
        (["--ray=head"], "expected HOST:PORT such as"),
        (["--ray", "--device", "cuda:1"], "use --device cuda"),
        (["--ray", "--device", "cpu", "--gpus-per-actor", "0.5"], "--device cpu uses none"),
        (["--ray", "--device", "tensorrt", "--gpus-per-actor", "0"], "--device tensorrt needs one"),
        (["--ray", "--gpus-per-actor", "2"], "expected a share of a GPU from 0 to 1"),
        (["--ray", "--actors", "0"], "expected a whole number from 1"),
        (["--ray", "--frames", "3"], "is for cameras, streams and video"),
        (["rtsp://host/x", "--ray"], "run a camera, a stream or a video without it"),
    ],
)
def test_what_contradicts_ray_is_one_line(words: list[str], text: str, call: Call, tmp_path: Path) -> None:
    answer = call("run", picture(tmp_path / "a.png"), *words)
    assert (answer.code, text in answer.error) == (2, True), answer.err


@pytest.mark.parametrize(
    ("words", "settled"),
    [
        (["run", "--ray", "pictures"], ["run", "--ray=", "pictures"]),
        (["run", "pictures", "--ray"], ["run", "pictures", "--ray="]),
        (["run", "--ray", "10.0.0.5:6379", "pictures"], ["run", "--ray", "10.0.0.5:6379", "pictures"]),
        (["run", "--ray", "auto", "a.png"], ["run", "--ray", "auto", "a.png"]),
        (["run", "--", "--ray", "b"], ["run", "--", "--ray", "b"]),
    ],
)
def test_ray_takes_the_next_word_only_where_it_is_an_address(words: list[str], settled: list[str]) -> None:
    assert settle_ray(words) == settled


@pytest.mark.parametrize("kind", ["package", "folder", "onnx"])
def test_a_model_arrives_where_it_is_not(
    kind: str, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = getattr(models, kind)
    parcel, contents = make_parcel(str(source))
    assert parcel.arrive({}) == str(source)
    away = tmp_path / "away" / source.name
    away.parent.mkdir()
    moved = type(parcel)(str(away), away, parcel.hashes)
    first = Path(moved.arrive(contents))
    assert first.is_relative_to(tmp_path / "cache")
    assert moved.arrive({}) == str(first)
    assert [(first if first.is_file() else first / name).read_bytes() for name in contents] == list(contents.values())


def test_a_model_with_files_elsewhere_is_refused(models: Models, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("edgesr.cli.ray_parcel.external_files", lambda path, source: frozenset({"../weights"}))
    with pytest.raises(ModelError, match="names a file outside its folder"):
        make_parcel(str(models.onnx))
