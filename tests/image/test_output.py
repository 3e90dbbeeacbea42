"""A written file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.image import Picture, check_output, open_writer, read, write
from edgesr.image.output import remove_leftovers
from tests.image.samples import gradient

PIXELS = gradient(32, 24, 3)


def writer_for(path, **changes):
    options = {"height": 32, "width": 24, "channels": 3, "dtype": np.uint8} | changes
    return open_writer(path, **options)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write(path, Picture((PIXELS,)))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), writer_for(path) as writer:
        writer.write(PIXELS[:10])
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_missing_and_surplus_and_misshapen_rows_are_named(tmp_path):
    path = tmp_path / "x.png"
    with pytest.raises(InputError, match="22 rows are missing"), writer_for(path) as writer:
        writer.write(PIXELS[:10])
    with pytest.raises(InputError, match="32 rows given where 22 are left"), writer_for(path) as writer:
        writer.write(PIXELS[:10])
        writer.write(PIXELS)
    with pytest.raises(InputError, match=r"uint8 \(h, 24, 3\), got uint16 \(32, 24, 3\)"), writer_for(path) as writer:
        writer.write(PIXELS.astype(np.uint16))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch, suffix, number):
    path = tmp_path / f"x.{suffix}"

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("edgesr.image.output.os.fsync", fail)
    with pytest.raises(InputError, match="disk") as caught, writer_for(path) as writer:
        writer.write(PIXELS)
    assert str(caught.value).startswith(f"{path}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_while_rows_are_written_is_said_in_one_line(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (600, 2000, 3), dtype=np.uint8)
    for suffix in ("png", "tif"):
        path = tmp_path / f"x.{suffix}"
        with (
            pytest.raises(InputError, match="the disk is full"),
            open_writer(path, height=600, width=2000, channels=3, dtype=np.uint8) as writer,
        ):
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, writer._output.file.fileno())
            os.close(full)
            writer.write(noise)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/x.png", "does not exist; create it"),
        ("file/x.png", "not a folder"),
        ("n" * 300 + ".png", "too long"),
        ("folder.png", "is a folder"),
        ("pipe.png", "device, pipe"),
        ("nul\0.png", "stray characters"),
    ],
)
def test_impossible_targets_are_refused_early(tmp_path, name, message):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for action in (check_output, writer_for):
        with pytest.raises(InputError, match=message) as caught:
            action(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_closed_folders_and_protected_files_are_refused_early(tmp_path):
    protected = tmp_path / "x.png"
    protected.write_bytes(b"")
    protected.chmod(0o444)
    with pytest.raises(InputError, match="write-protected"):
        check_output(protected)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(InputError, match="not writable"):
        check_output(closed / "x.png")


def test_read_only_file_systems_are_said(tmp_path, monkeypatch):
    real = os.open

    def fail(path, flags, mode=0o777):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, mode)

    monkeypatch.setattr("edgesr.image.output.os.open", fail)
    with pytest.raises(InputError, match="read-only; choose another folder"):
        writer_for(tmp_path / "x.png")


def test_links_are_followed_and_modes_kept(tmp_path):
    real = tmp_path / "real.png"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.png"
    link.symlink_to(real)
    write(link, Picture((PIXELS,)))
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    np.testing.assert_array_equal(read(real).pixels, PIXELS)


def test_a_new_file_has_the_usual_mode(tmp_path):
    mask = os.umask(0o027)
    try:
        write(tmp_path / "x.png", Picture((PIXELS,)))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x.png").stat().st_mode) == 0o640


def test_check_output_names_the_format(tmp_path):
    assert check_output(tmp_path / "x.TIFF", dtype="float32", channels=4) == "TIFF"
    with pytest.raises(InputError, match="JPEG cannot hold"):
        check_output(tmp_path / "x.jpg", dtype=np.uint16)


def test_leftovers_of_killed_processes_go_and_files_of_living_ones_stay(tmp_path):
    left = tmp_path / ".edgesr-1-00ff.part"
    left.write_bytes(b"half")
    others = [tmp_path / ".edgesr-1.txt", tmp_path / "edgesr-1-00ff.part", tmp_path / "a.part"]
    for path in others:
        path.write_bytes(b"not ours")
    (tmp_path / ".edgesr-link.part").symlink_to(others[0])
    code = (
        "import sys, numpy as np\nfrom edgesr.image import open_writer\n"
        "with open_writer(sys.argv[1], height=2, width=2, channels=1, dtype='uint8') as writer:\n"
        "    print('open', flush=True)\n    sys.stdin.read()\n    writer.write(np.zeros((2, 2, 1), 'uint8'))\n"
    )
    words = [sys.executable, "-c", code, tmp_path / "b.png"]
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
        writer_for(tmp_path / "a.png") as writer,
    ):
        assert child.stdout.readline() == "open\n"
        assert len(list(tmp_path.glob(".edgesr-*-*.part"))) == 3
        remove_leftovers(tmp_path)
        assert len(list(tmp_path.glob(".edgesr-*-*.part"))) == 2
        writer.write(PIXELS)
        child.communicate()
    assert child.returncode == 0
    assert read(tmp_path / "a.png").pixels.shape == PIXELS.shape
    assert read(tmp_path / "b.png").pixels.shape == (2, 2, 1)
    assert not left.exists()
    assert all(path.read_bytes() == b"not ours" for path in others)
    remove_leftovers(tmp_path / "nowhere")


def test_a_finished_file_appears_at_the_exit_only(tmp_path):
    with writer_for(tmp_path / "a.png") as writer:
        with pytest.raises(InputError, match="32 rows are missing"):
            writer.finish()
        writer.write(PIXELS)
        writer.finish()
        writer.finish()
        assert not (tmp_path / "a.png").exists() and not writer.is_written
    assert writer.is_written
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, PIXELS)


def test_an_interrupt_before_anybody_holds_the_file_leaves_nothing(tmp_path):
    program = (
        "import sys; from edgesr.image import output; make = output._create_locked\n"
        "def interrupted(path):\n"
        "    make(path)\n"
        "    raise KeyboardInterrupt\n"
        "output._create_locked = interrupted\n"
        "output.OutputFile(sys.argv[1])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "a.png"], capture_output=True, check=False)
    assert b"KeyboardInterrupt" in ended.stderr
    assert list(tmp_path.iterdir()) == []
