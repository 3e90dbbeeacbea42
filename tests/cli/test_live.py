"""``edgesr run`` with video, cameras and streams."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from edgesr.image import Picture, read, write
from edgesr.media.open import open_sink, open_source
from tests.cli.commands import run, start
from tests.cli.conftest import Call, Models
from tests.media.needs import GSTREAMER, needs_element, needs_ffmpeg, needs_gstreamer, probe

CAMERA = "gst://videotestsrc is-live=true ! video/x-raw,width=32,height=24,framerate=20/1"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Y4M file of six grey steps, 16 x 12 at 5 frames/s, in the current folder."""
    monkeypatch.chdir(tmp_path)
    with open_sink(tmp_path / "clip.y4m", fps=5) as sink:
        for number in range(6):
            sink.write(np.full((12, 16, 3), 40 * number, np.uint8))
    return tmp_path / "clip.y4m"


def test_a_video_becomes_a_video_beside_it(call: Call, models: Models, clip: Path) -> None:
    answer = call("run", "clip.y4m", "-m", models.folder)
    assert (answer.code, answer.out) == (0, "clip_edgesr.y4m\n")
    assert "6 frames, 16 x 12 -> 32 x 24" in answer.err
    assert "0 dropped; latency p50" in answer.err
    assert "clip_edgesr.y4m: the encoding is lossy" in answer.err
    with open_source("clip_edgesr.y4m") as source:
        frames = list(source)
    assert [frame.image.shape for frame in frames] == [(24, 32, 3)] * 6
    assert [frame.time for frame in frames] == pytest.approx([number / 5 for number in range(6)])
    greys = [int(frame.image[12, 16, 0]) for frame in frames]
    assert greys == pytest.approx([40 * number for number in range(6)], abs=4)


def test_json_says_everything(call: Call, models: Models, clip: Path) -> None:
    document = call(
        "run", "clip.y4m", "-m", models.folder, "-o", "f/%03d.png", "--json", "--skip-similar", "60"
    ).document
    assert (document["written"], document["processed"], document["skipped"]) == (6, 3, 3)
    assert (document["source"], document["sink"]) == ("clip.y4m", "f/%03d.png")
    assert (document["live"], document["lossy"]) == (False, False)
    assert set(document["latency_ms"]) == {"p50", "p95", "p99", "max"}
    assert (document["dropped"], document["reconnects"], document["scale"]) == (0, 0, 2)
    assert sorted(path.name for path in Path("f").iterdir()) == [f"{number:03d}.png" for number in range(6)]


def test_pictures_become_video_and_video_pictures(call: Call, models: Models, clip: Path) -> None:
    for number in range(1, 4):
        Path("in").mkdir(exist_ok=True)
        write(f"in/x{number}.png", Picture((np.full((6, 8, 3), 60 * number, np.uint8),)))
    for given in ("in", "in/x%d.png", "in/*.png"):
        assert call("run", given, "-m", models.folder, "-o", "out.y4m", "--fps", "2").code == 0
        with open_source("out.y4m") as source:
            frames = list(source)
        assert [int(frame.image[6, 8, 0]) for frame in frames] == pytest.approx([60, 120, 180], abs=4)
        assert frames[-1].time == pytest.approx(1.0)
    assert call("run", "clip.y4m", "-m", models.folder, "-o", "pics/").code == 0
    assert read("pics/000005.png").pixels.shape == (24, 32, 3)


def test_y4m_goes_through_from_standard_input_to_standard_output(models: Models, clip: Path) -> None:
    with clip.open("rb") as stdin, Path("out.y4m").open("wb") as stdout:
        answer = run("run", "-", "-m", models.folder, "-o", "-", stdin=stdin, stdout=stdout)
    assert answer.code == 0, answer.err
    with open_source("out.y4m") as source:
        assert len(list(source)) == 6


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Give this process a standard input."""
    with ExitStack() as stack:

        def give(data: bytes) -> None:
            (tmp_path / "stdin").write_bytes(data)
            monkeypatch.setattr("sys.stdin", stack.enter_context((tmp_path / "stdin").open("rb")))

        yield give


@pytest.mark.parametrize("pixels", ["rgb24", "bgr24", "gray8"])
def test_raw_video_with_declared_caps_is_read(
    call: Call, models: Models, tmp_path: Path, feed: Callable[[bytes], None], pixels: str
) -> None:
    frames = np.zeros((3, 6, 8, 1 if pixels == "gray8" else 3), np.uint8)
    frames[..., 0] = 200
    feed(frames.tobytes())
    source = f"-?format={pixels}&width=8&height=6&fps=5"
    answer = call("run", source, "-m", models.folder, "-o", tmp_path / "%d.png")
    assert answer.code == 0, answer.err
    seen = read(tmp_path / "2.png").pixels[6, 8].tolist()
    assert seen == {"rgb24": [200, 0, 0], "bgr24": [0, 0, 200], "gray8": [200]}[pixels]


def test_motion_jpeg_is_read(call: Call, models: Models, tmp_path: Path, feed: Callable[[bytes], None]) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.jpg", Picture((np.full((16, 16, 3), 80 * number, np.uint8),)))
    feed(b"".join(b"--boundary\r\n\r\n" + (tmp_path / f"{n}.jpg").read_bytes() + b"\r\n" for n in range(3)))
    answer = call("run", "-?format=mjpeg", "-m", models.folder, "-o", tmp_path / "%d.png")
    assert answer.code == 0, answer.err
    greys = [int(read(tmp_path / f"{number}.png").pixels[16, 16, 0]) for number in range(3)]
    assert greys == pytest.approx([0, 80, 160], abs=2)


@pytest.mark.parametrize(
    ("words", "data", "said"),
    [
        (["-"], b"", "standard input is empty"),
        (["-"], b"GIF89a and more", "neither Y4M nor Motion JPEG; for raw video declare it"),
        (["-"], b"YUV4MPEG2 W4 H4 F5:1 C420p10\nFRAME\n", "C420p10 is not supported"),
        (["-"], b"YUV4MPEG2 W4 H4 F5:1\nFRAME\n123", "ends in the middle of frame 0"),
        (["-"], b"YUV4MPEG2 W4 H4 F5:1 It\nFRAME\n", "is interlaced"),
        (["-"], b"YUV4MPEG2 Wx H4\n", "names no size and rate"),
        (["-"], b"YUV4MPEG2 W4 H4 F5:1\nNOISE\n", "in place of FRAME"),
        (["-?format=rgb24"], b"123", "raw video needs its caps"),
        (["-?format=rgb24&width=4&height=4"], b"123", "ends with 3 of the 48 bytes of a frame"),
        (["-"], b"\xff\xd8\xff\xe0\x00\x04ab\x12\x34", "is no JPEG"),
    ],
)  # fmt: skip
def test_garbage_on_standard_input_is_one_line(
    call: Call,
    models: Models,
    tmp_path: Path,
    feed: Callable[[bytes], None],
    words: list[str],
    data: bytes,
    said: str,
) -> None:
    feed(data)
    answer = call("run", *words, "-m", models.folder, "-o", tmp_path / "o.y4m")
    assert (answer.code in (2, 6), said in answer.error) == (True, True), answer.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["cis://0", "-o", "a.mkv"], 2, "did you mean csi://0?"),
        (["/dev/video97", "-o", "a.mkv"], 6, "/dev/video97: there is no such device"),
        (["clip.y4m", "-o", "display://0"], 6, "there is no display"),
        (["clip.y4m", "-o", "clip.y4m"], 2, "the output would replace this input"),
        (["clip.y4m", "-o", "none/a.y4m"], 6, "there is no such folder"),
        (["clip.y4m", "-o", "a.wmv"], 2, "cannot write .wmv files; use .mp4"),
        (["clip.y4m", "-o", "a.mp4", "--codec", "ffv1"], 2, "do not hold ffv1; write a .mkv file"),
        (["clip.y4m", "-o", "a.png"], 2, "holds one picture; give -o a_%05d.png or a folder"),
        (["clip.y4m", "-o", "-", "--json"], 2, "both write to standard output"),
        (["clip.y4m", "clip.y4m"], 2, "one source at a time"),
        (["clip.y4m", "--uncertainty"], 2, "--uncertainty is for still pictures"),
        (["none.mp4"], 6, "none.mp4: there is no such file"),
        (["%05d.png", "-o", "a.y4m"], 6, "no file has such a name"),
        (["clip.y4m", "-o", "a.y4m", "--bitrate", "8M"], 2, "takes no codec and no bitrate"),
        (["clip.y4m", "--skip-similar", "300"], 2, "from 0 to 255"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    call: Call, models: Models, clip: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if "display://0" in words and GSTREAMER is None:
        pytest.skip("GStreamer with gdppay is not installed")
    answer = call("run", *words, "-m", models.folder)
    assert (answer.code, said in answer.error) == (code, True), answer.err


def test_options_of_video_are_refused_for_still_pictures(call: Call, models: Models, tmp_path: Path) -> None:
    answer = call("run", tmp_path / "a.png", "-m", models.folder, "--skip-similar", "3")
    assert (answer.code, answer.error) == (
        2,
        "--skip-similar is for cameras, streams and video; these are still pictures",
    )


def test_a_reader_that_goes_away_ends_the_run(models: Models, tmp_path: Path) -> None:
    head = b"YUV4MPEG2 W64 H64 F25:1\n"
    feed = f"import sys\nsys.stdout.buffer.write({head!r})\nwhile 1: sys.stdout.buffer.write(b'FRAME\\n' + bytes(6144))"
    feeder = subprocess.Popen([sys.executable, "-c", feed], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child = start("run", "-", "-m", models.folder, "-o", "-", stdin=feeder.stdout)
    assert child.stdout is not None
    child.stdout.read(1000)
    child.stdout.close()
    assert child.wait(60) == 141
    child.communicate()
    feeder.kill()
    feeder.communicate()


@needs_element("x264enc", "mp4mux")
@needs_ffmpeg
def test_ctrl_c_leaves_a_video_that_plays_and_says_how_it_went(models: Models, tmp_path: Path) -> None:
    child = start("run", CAMERA, "-m", models.folder, "-o", tmp_path / "a.mp4", "--json")
    end = monotonic() + 60
    while not (tmp_path / "a.mp4").exists() and monotonic() < end:
        sleep(0.05)
    sleep(2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    document = json.loads(out)
    assert document["live"]
    assert document["written"] >= 2
    assert probe(tmp_path / "a.mp4", "stream=width,height,nb_read_frames") == [f"64,48,{document['written']}"]


@needs_element("x264enc", "mp4mux")
@needs_ffmpeg
def test_a_killed_run_leaves_a_video_that_plays(models: Models, tmp_path: Path) -> None:
    child = start("run", CAMERA, "-m", models.folder, "-o", tmp_path / "a.mp4")
    end = monotonic() + 60
    while not (tmp_path / "a.mp4").exists() and monotonic() < end:
        sleep(0.05)
    sleep(2)
    child.kill()
    child.communicate(timeout=60)
    while monotonic() < end:
        sleep(0.2)
        try:
            assert int(probe(tmp_path / "a.mp4", "stream=nb_read_frames")[0]) >= 1
            return
        except (subprocess.CalledProcessError, IndexError):
            continue
    pytest.fail("the video was never finished")


@needs_gstreamer
def test_a_camera_without_an_output_asks_for_one(call: Call, models: Models) -> None:
    answer = call("run", CAMERA, "-m", models.folder)
    assert answer.code == 2
    assert "a live source needs -o, for example -o display://0 or -o out.mkv" in answer.error


def test_help_names_the_addresses(call: Call) -> None:
    text = " ".join(call("run", "--help").out.split())
    for word in ("csi://0", "/dev/video0", "rtsp://HOST/PATH", "display://0", "--skip-similar", "--reconnect"):
        assert word in text
