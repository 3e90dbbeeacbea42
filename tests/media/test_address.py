"""Addresses: what they mean, what is refused, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesr.errors import UsageError
from edgesr.media.parse import is_media, parse_sink, parse_source
from edgesr.media.redact import redact


@pytest.mark.parametrize(
    ("text", "kind", "target", "options"),
    [
        ("csi://0", "csi", "0", {}),
        ("csi://1?width=1280&height=720&fps=60", "csi", "1", {"width": "1280", "height": "720", "fps": "60"}),
        ("/dev/video0", "v4l2", "/dev/video0", {}),
        ("v4l2:///dev/video2?format=mjpeg", "v4l2", "/dev/video2", {"format": "mjpeg"}),
        ("v4l2://0", "v4l2", "/dev/video0", {}),
        ("RTSP://cam/live?channel=1", "rtsp", "RTSP://cam/live?channel=1", {}),
        ("rtsp://cam/live#transport=tcp", "rtsp", "rtsp://cam/live", {"transport": "tcp"}),
        ("rtp://@:5000", "rtp", "rtp://@:5000", {}),
        ("videotestsrc ! video/x-raw,width=8", "gst", "videotestsrc ! video/x-raw,width=8", {}),
        ("gst://videotestsrc", "gst", "videotestsrc", {}),
        ("-", "stdio", "-", {}),
        ("-?format=rgb24&width=4&height=2", "stdio", "-", {"format": "rgb24", "width": "4", "height": "2"}),
        ("clip.MP4", "video", "clip.MP4", {}),
        ("file:///a%20b/clip.mkv", "video", "/a b/clip.mkv", {}),
        ("frames/%05d.png", "sequence", "frames/%05d.png", {}),
        ("frames/%05d.png?fps=10", "sequence", "frames/%05d.png", {"fps": "10"}),
        ("folder", "pictures", "folder", {}),
    ],
)
def test_a_source_address_is_understood(text: str, kind: str, target: str, options: dict[str, str]) -> None:
    address = parse_source(text)
    assert (address.kind, address.target, dict(address.options)) == (kind, target, options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cis://0", "did you mean csi://0?"),
        ("rstp://user:geheim@cam/x", "did you mean rtsp://user:***@cam/x?"),
        ("v4l://dev/video0", "did you mean v4l2://"),
        ("csi:0", "did you mean csi://0?"),
        ("rtsp:/cam", "did you mean rtsp://cam?"),
        ("csi://left", "csi://left: is followed by a number; give csi://0"),
        ("csi://", "csi:// names nothing; give csi://0"),
        ("csi://0?widht=3", "has no option 'widht' (did you mean width?"),
        ("rtsp://cam#transprot=tcp", "did you mean transport?"),
        ("display://0", "display:// cannot be read from"),
        ("v4l2://video0", "is followed by a device; give v4l2:///dev/video0"),
        ("-?fromat=rgb24", "did you mean format?"),
        ("", "the address is empty"),
    ],
)
def test_a_wrong_source_address_says_what_was_meant(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_cameras_are_no_sinks_but_loopback_devices_are() -> None:
    with pytest.raises(UsageError, match="csi:// cannot be written to"):
        parse_sink("csi://0")
    assert parse_sink("/dev/video9").kind == parse_sink("v4l2:///dev/video9").kind == "v4l2"
    assert parse_sink("display://0").target == "0"


@pytest.mark.parametrize(
    "live", ["csi://0", "/dev/video0", "rtsp://a/b", "rtp://@:5", "videotestsrc is-live=true ! queue"]
)
def test_cameras_and_streams_are_live(live: str) -> None:
    assert parse_source(live).is_live


@pytest.mark.parametrize(
    "stored", ["a.mp4", "-", "%d.png", "gst://filesrc location=a ! decodebin", "gst://videotestsrc"]
)
def test_files_are_not_live_so_that_none_of_their_frames_is_dropped(stored: str) -> None:
    assert not parse_source(stored).is_live


def test_still_pictures_and_folders_are_no_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "100%d.png").touch()
    (tmp_path / "csi:0").touch()
    for text in ("a.png", "folder", "*.png", "scan.dcm", "100%d.png", "csi:0", "C:a.png"):
        assert not is_media(text), text
    for text in ("-", "a.mp4", "csi://0", "%d.png", "/dev/video0", "a ! b", "rtsp:/cam", "hppt://x"):
        assert is_media(text), text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:geheim@cam:554/live", "rtsp://user:***@cam:554/live"),
        ("rtsp://user:ge@heim@cam/live", "rtsp://user:***@cam/live"),
        ("rtsp://user:ge/heim@cam/live", "rtsp://user:***@cam/live"),
        ("rtsp://cam:554/a@b", "rtsp://cam:554/a@b"),
        ("rtsp://cam/x?user=admin&password=geheim&channel=1", "rtsp://cam/x?user=admin&password=***&channel=1"),
        ("rtspsrc location=rtsp://u:geheim@c user-pw=geheim ! a", "rtspsrc location=rtsp://u:***@c user-pw=*** ! a"),
        ('x user-pw="ge heim" ! y', "x user-pw=*** ! y"),
        ("rtsp://u:geheim@c/x and http://v:geheim@d", "rtsp://u:***@c/x and http://v:***@d"),
    ],
)  # fmt: skip
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert "geheim" not in repr(parse_source(text)) if "://" in text[:10] else True


def test_an_address_shows_no_password_in_text_and_repr() -> None:
    address = parse_source("rtsp://user:geheim@cam/live")
    assert "geheim" not in f"{address} {address!r} {[address]}"
    assert "geheim" in address.target
