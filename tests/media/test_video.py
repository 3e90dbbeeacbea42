"""Video through GStreamer and through PyAV: the same tests, with ffmpeg and ffprobe as the judges."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from edgesr.errors import BackendError, InputError, UsageError
from edgesr.media.library import Through
from edgesr.media.open import open_sink, open_source
from tests.media.needs import GSTREAMER, needs_av, needs_element, needs_ffmpeg, needs_gstreamer, probe

BOTH = [pytest.param("gstreamer", marks=needs_gstreamer), pytest.param("pyav", marks=needs_av)]
BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]


def bars(height: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Eight columns of saturated colour, 16 pixels each."""
    return np.repeat(np.tile(np.array(BARS, np.uint8), (height, 1, 1)), 16, axis=1)


def middles(image: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, Any]:
    """The colours in the middle of the columns."""
    return image[image.shape[0] // 2, 8::16].astype(int)


def encoded(path: Path, image: np.ndarray[Any, np.dtype[np.uint8]], *, matrix: str, levels: str, tagged: bool) -> None:
    """Let ffmpeg encode one second of a picture with this colour matrix and range."""
    h, w, _ = image.shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{w}x{h}", "-r", "5", "-i", "-"]
    ffmpeg_range = {"limited": "tv", "full": "pc"}[levels]
    space = {"bt601": "smpte170m", "bt709": "bt709"}[matrix]
    scale = ["-vf", f"scale=out_color_matrix={matrix}:out_range={ffmpeg_range}:flags=accurate_rnd+full_chroma_int"]
    tags = ["-colorspace", space, "-color_primaries", space, "-color_trc", space] if tagged else []
    coded = ["-pix_fmt", "yuv444p", "-c:v", "libx264", "-qp", "4", "-color_range", ffmpeg_range, *tags]
    words = ["ffmpeg", "-v", "error", "-y", *raw, *scale, *coded, str(path)]
    subprocess.run(words, input=image.tobytes() * 5, check=True, timeout=60)


@needs_ffmpeg
@pytest.mark.parametrize("through", BOTH)
@pytest.mark.parametrize(
    ("height", "matrix", "levels", "tagged"),
    [
        (64, "bt601", "limited", True),
        (64, "bt709", "limited", True),
        (64, "bt601", "full", True),
        (64, "bt709", "full", True),
        (64, "bt601", "limited", False),
        (720, "bt709", "limited", False),
    ],
)
def test_colours_are_decoded_as_the_file_says_or_as_its_size_implies(
    tmp_path: Path, through: Through, height: int, matrix: str, levels: str, tagged: bool
) -> None:
    encoded(tmp_path / "a.mp4", bars(height), matrix=matrix, levels=levels, tagged=tagged)
    with open_source(tmp_path / "a.mp4", through=through) as source:
        frames = list(source)
    assert len(frames) == 5
    assert np.abs(middles(frames[2].image) - BARS).max() <= 6
    with open_source(tmp_path / "a.mp4", "bgr", through=through) as source:
        first = source.read()
    assert first is not None
    assert np.abs(middles(first.image)[:, ::-1] - BARS).max() <= 6


@needs_ffmpeg
@pytest.mark.parametrize("through", BOTH)
@pytest.mark.parametrize("height", [64, 720])
def test_colours_are_encoded_with_their_label(tmp_path: Path, through: Through, height: int) -> None:
    if through == "gstreamer" and GSTREAMER is not None and not GSTREAMER.has("x264enc"):
        pytest.skip("GStreamer has no x264enc")
    target = tmp_path / "a.mp4"
    with open_sink(target, fps=5, through=through) as sink:
        for number in range(5):
            sink.write(bars(height), number / 5)
    space = "smpte170m" if height == 64 else "bt709"
    assert probe(target, "stream=pix_fmt,color_range,color_space,nb_read_frames") == [f"yuv420p,tv,{space},5"]
    matrix = {"smpte170m": "bt601", "bt709": "bt709"}[space]
    view = ["-vf", f"scale=in_color_matrix={matrix}:in_range=tv:out_range=pc:flags=accurate_rnd", "-pix_fmt", "rgb24"]
    words = ["ffmpeg", "-v", "error", "-i", str(target), *view, "-frames:v", "1", "-f", "rawvideo", "-"]
    raw = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    assert np.abs(middles(np.frombuffer(raw, np.uint8).reshape(height, 128, 3)) - BARS).max() <= 8
    assert sink.is_lossy


@pytest.mark.parametrize("through", BOTH)
@pytest.mark.parametrize("size", [(47, 63), (17, 16), (48, 64)])
def test_ffv1_gives_back_every_pixel_of_every_size_with_its_time(
    tmp_path: Path, through: Through, size: tuple[int, int]
) -> None:
    if through == "gstreamer" and GSTREAMER is not None and not GSTREAMER.has("avenc_ffv1"):
        pytest.skip("GStreamer has no avenc_ffv1")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(4)]
    times = [0.0, 0.1, 0.25, 0.3]
    with open_sink(tmp_path / "a.mkv", codec="ffv1", through=through) as sink:
        for image, time in zip(images, times, strict=True):
            sink.write(image, time)
    assert not sink.is_lossy
    with open_source(tmp_path / "a.mkv", through=through) as source:
        frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx(times, abs=2e-3)
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.image, image)
    assert source.dropped == 0


@pytest.mark.parametrize("through", BOTH)
def test_odd_sizes_are_refused_where_colour_has_half_the_resolution(tmp_path: Path, through: Through) -> None:
    said = r"H.264 takes even sizes only, the frames are 63 x 48; .*--codec ffv1"
    with pytest.raises(InputError, match=said), open_sink(tmp_path / "a.mp4", through=through) as sink:
        sink.write(np.zeros((48, 63, 3), np.uint8))


@needs_element("avenc_ffv1")
def test_sizes_that_the_encoder_of_gstreamer_blackens_are_refused(tmp_path: Path) -> None:
    said = "takes frames from 16 pixels a side, these are 20 x 3; write pictures"
    with pytest.raises(InputError, match=said), open_sink(tmp_path / "a.mkv", codec="ffv1") as sink:
        sink.write(np.zeros((3, 20, 3), np.uint8))


@needs_element("x264enc", "mp4mux")
@needs_ffmpeg
def test_names_with_quotes_and_exclamation_marks_are_written_and_read(tmp_path: Path) -> None:
    target = tmp_path / 'a "b" ! c\\d\'e #%20.mp4'
    with open_sink(target, fps=5, through="gstreamer") as sink:
        for number in range(3):
            sink.write(bars(), number / 5)
    assert probe(target, "stream=nb_read_frames") == ["3"]
    with open_source(target, through="gstreamer") as source:
        assert len(list(source)) == 3


@needs_element("x264enc", "matroskamux")
@needs_ffmpeg
def test_a_change_of_size_begins_another_file(tmp_path: Path) -> None:
    with open_sink(tmp_path / "a.mkv", fps=5, through="gstreamer") as sink:
        for size in (64, 64, 32, 32, 32):
            sink.write(np.zeros((size, size, 3), np.uint8))
    assert probe(tmp_path / "a.mkv", "stream=height,nb_read_frames") == ["64,2"]
    assert probe(tmp_path / "a-2.mkv", "stream=height,nb_read_frames") == ["32,3"]


@needs_element("x264enc", "matroskamux")
def test_a_full_disk_while_recording_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").symlink_to("/dev/full")
    rng = np.random.default_rng(0)
    said = r"a\.mkv: .*(space|writing).*the disk is full"
    with pytest.raises(InputError, match=said), open_sink(tmp_path / "a.mkv") as sink:
        for number in range(300):
            sink.write(rng.integers(0, 256, (128, 128, 3), np.uint8), number / 5)


@pytest.mark.parametrize("through", BOTH)
@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 100, b"\x00\x00\x00\x18ftypmp42" + bytes(200)])
def test_a_file_that_is_no_video_is_one_line(tmp_path: Path, through: Through, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with open_source(tmp_path / "a.mp4", through=through) as source, pytest.raises(InputError) as caught:
        source.read()
    assert str(caught.value).startswith(f"{tmp_path}/a.mp4: ")
    assert "\n" not in str(caught.value)


@needs_gstreamer
def test_pipelines_of_the_user_end_in_frames_with_or_without_appsink() -> None:
    pipeline = "videotestsrc num-buffers=3 pattern=red ! video/x-raw, width=10, height=7"
    for text in (pipeline, f"{pipeline} ! videoconvert ! appsink drop=true max-buffers=1", f"gst://{pipeline}"):
        with open_source(text) as source:
            frames = list(source)
        assert [frame.image.shape for frame in frames] == [(7, 10, 3)] * 3
        assert np.abs(frames[0].image.astype(int) - (255, 0, 0)).max() <= 3


@needs_gstreamer
def test_wrong_pipelines_say_what_is_wrong() -> None:
    with pytest.raises(BackendError, match="has no element 'videotestsrcc'"):
        open_source("videotestsrcc ! queue")
    with pytest.raises(UsageError, match="no closing quotation"):
        open_source('videotestsrc ! "queue')
    with open_source("videotestsrc colour=red ! queue") as source, pytest.raises(InputError, match="no property"):
        source.read()


@needs_gstreamer
def test_a_pipeline_that_never_delivers_times_out() -> None:
    silent = "appsrc is-live=true ! video/x-raw,format=RGB,width=8,height=8"
    said = "gives no frame in time.*given up after 1 attempt$"
    with open_source(silent, timeout=0.5, connect_timeout=0.7) as source, pytest.raises(InputError, match=said):
        source.read()


@needs_gstreamer
def test_a_live_camera_gives_its_newest_frame_at_its_rate() -> None:
    camera = "gst://videotestsrc is-live=true ! video/x-raw,width=32,height=24,framerate=50/1"
    with open_source(camera) as source:
        first = source.read()
        sleep(0.5)
        late = source.read()
    assert first is not None
    assert late is not None
    assert late.time == pytest.approx(late.index / 50, abs=0.05)
    assert source.dropped > 5
    assert monotonic() - late.captured < 5


@needs_gstreamer
def test_a_camera_process_that_dies_is_started_again() -> None:
    import os
    import signal

    said: list[str] = []
    camera = "gst://videotestsrc is-live=true ! video/x-raw,width=32,height=24,framerate=50/1"
    with open_source(camera, note=said.append) as source:
        assert source.read()
        reader: Any = source._reader
        os.killpg(reader._child._process.pid, signal.SIGKILL)
        while source.reconnects == 0:
            assert source.read()
    assert source.reconnects == 1
    assert len(said) == 1


@needs_element("rtph264pay", "x264enc", "avdec_h264")
def test_rtp_goes_from_a_sink_to_a_source() -> None:
    port = 15_004
    sink = open_sink(f"rtp://127.0.0.1:{port}", fps=20)
    stop = threading.Event()

    def send() -> None:
        with sink:
            while not stop.is_set():
                sink.write(bars(), monotonic())
                sleep(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with open_source(f"rtp://@:{port}", timeout=30) as source:
            frame = source.read()
    finally:
        stop.set()
        thread.join(30)
    assert frame is not None
    assert np.abs(middles(frame.image) - BARS).max() <= 16


def test_without_any_library_video_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setattr("edgesr.media.library.find_gstreamer", lambda: None)
    monkeypatch.setattr("edgesr.media.av_io.has_av", lambda: False)
    with pytest.raises(BackendError, match=r"needs GStreamer \(sudo apt install .*\) or PyAV \(pip install"):
        open_source(tmp_path / "a.mp4")
    with pytest.raises(BackendError, match="needs GStreamer"):
        open_sink(tmp_path / "b.mp4")


@needs_element("ximagesink")
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_display_shows_the_frames_and_an_absent_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24"], stdout=subprocess.PIPE, stderr=-3
    )
    assert server.stdout is not None
    number = server.stdout.readline().decode().strip()
    try:
        monkeypatch.setenv("DISPLAY", f":{number}")
        with open_sink("display://0") as sink:
            for count in range(5):
                sink.write(bars(), count / 10)
        assert sink.written == 5
    finally:
        server.kill()
        server.communicate()
    monkeypatch.setenv("DISPLAY", ":97")
    with pytest.raises(InputError, match="there is no display that takes it"), open_sink("display://0") as sink:
        for _ in range(2000):
            sink.write(bars())
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(InputError, match="neither DISPLAY nor WAYLAND_DISPLAY is set"):
        open_sink("display://0")
