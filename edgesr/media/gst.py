"""The GStreamer of this machine, and children of it that run one pipeline each."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic

from edgesr.errors import BackendError
from edgesr.media.redact import redact

_LINES_KEPT = 60
_SECONDS = 20
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_REASON = re.compile(r"(?:ERROR: (?:from element \S+: )?|WARNING: erroneous pipeline: )(.*)")
_DETAIL = re.compile(r"system error|\w[^():]*$|.*\b(busy|refused|denied)\b")
PACKAGES = "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"


@dataclass(frozen=True)
class GStreamer:
    """The command ``gst-launch-1.0`` and what it can do."""

    launch: str
    version: str

    def has(self, element: str) -> bool:
        """Tell whether an element is installed."""
        return _has(self.launch, element)

    def need(self, *elements: str) -> None:
        """Raise BackendError naming the first element that is not installed."""
        for element in elements:
            if not self.has(element):
                raise BackendError(f"GStreamer {self.version} has no element {element}; {_remedy(element)}")

    def first(self, *elements: str) -> str | None:
        """Return the first element that is installed, None where there is none of them."""
        return next((element for element in elements if self.has(element)), None)


def find_gstreamer() -> GStreamer | None:
    """Return this machine's GStreamer where it can pass frames to another process, else None."""
    launch = shutil.which("gst-launch-1.0")
    if launch is None or shutil.which("gst-inspect-1.0") is None:
        return None
    version = _version(launch)
    return None if version is None or not _has(launch, "gdppay") else GStreamer(launch, version)


class Child:
    """A GStreamer pipeline in a process of its own, joined to this one by one pipe.

    It runs in a session of its own, so that Ctrl-C on the terminal reaches edgesr alone, which then lets it finish.
    """

    def __init__(self, gstreamer: GStreamer, words: list[str], *, reads: bool) -> None:
        reading, writing = os.pipe()
        theirs, self.fd = (writing, reading) if reads else (reading, writing)
        os.set_blocking(self.fd, False)
        _enlarge(self.fd)
        end = ["!", "fdsink", f"fd={theirs}", "sync=false"]
        command = [gstreamer.launch, "-q", *words, *end] if reads else [gstreamer.launch, "-q", "fdsrc", f"fd={theirs}"]
        if not reads:
            command += ["!", *words]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C", "GST_DEBUG_NO_COLOR": "1"},
            )
        except OSError as error:
            os.close(self.fd)
            raise BackendError(f"{gstreamer.launch} cannot be started: {error.strerror}") from None
        finally:
            os.close(theirs)
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="edgesr-gstreamer")
        self._listener.start()
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN if reads else select.POLLOUT)
        self._is_open = True

    def wait_ready(self, deadline: float) -> bool:
        """Wait until the pipe can be used; False when it cannot by ``deadline`` (``time.monotonic``)."""
        return bool(self._poll.poll(max(0.0, deadline - monotonic()) * 1e3))

    def finish(self, seconds: float) -> int | None:
        """Close the pipe and wait for the child to end by itself; None when it does not."""
        self.hang_up()
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._listener.join(2)
        return code

    def stop(self) -> None:
        """End the child: first as Ctrl-C does, as cameras want it, then without asking."""
        for number in (signal.SIGINT, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                continue
        self._listener.join(2)

    def hang_up(self) -> None:
        """Close this side of the pipe."""
        if self._is_open:
            self._is_open = False
            os.close(self.fd)

    @property
    def complaint(self) -> str:
        """What GStreamer gave as the reason, in one line without passwords; empty where it said nothing."""
        return complaint(list(self._lines))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._lines.append(line.decode("utf-8", "replace").rstrip())


def complaint(lines: list[str]) -> str:
    """Return the reason that ``gst-launch-1.0`` gave, in one line without passwords."""
    # What is only a warning is no reason: long runs have some, and end well.
    found = [(number, match[1]) for number, line in enumerate(lines) if (match := _REASON.match(line))]
    if not found:
        return ""
    number, reason = found[0]
    reason = reason.rstrip(".")
    debug = [text.strip() for text in lines[number + 1 : number + 6]]
    end = next((place for place, text in enumerate(debug) if text.startswith("ERROR")), len(debug))
    details = [text.rstrip(".") for text in debug[:end] if _DETAIL.match(text) and not text.startswith("Additional")]
    detail = next((text for text in details if text != reason), "")
    return redact(f"{reason} ({detail})" if detail else reason)


def quoted(text: str) -> str:
    """Return a property value as the pipeline language takes it, whatever characters it has."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _remedy(element: str) -> str:
    if element.startswith(("nv", "nvv4l2")):
        return "it belongs to NVIDIA Jetson: install nvidia-l4t-gstreamer, and start containers with --runtime nvidia"
    if element.startswith("av"):
        return "install it with: sudo apt install gstreamer1.0-libav"
    if element == "x264enc":
        return "install it with: sudo apt install gstreamer1.0-plugins-ugly"
    if element == "rtspclientsink":
        return "install it with: sudo apt install gstreamer1.0-rtsp"
    return f"install GStreamer's plugins with: {PACKAGES}"


@lru_cache(maxsize=64)
def _has(launch: str, element: str) -> bool:
    inspect = os.path.join(os.path.dirname(launch), "gst-inspect-1.0")  # noqa: PTH118, PTH120
    try:
        done = subprocess.run([inspect, "--exists", element], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@lru_cache(maxsize=4)
def _version(launch: str) -> str | None:
    try:
        done = subprocess.run([launch, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"version (\d+\.\d+\.\d+)", done.stdout)
    return found[1] if found else None


def _enlarge(fd: int) -> None:
    """Let a pipe hold more than 64 KiB, so that a frame takes fewer turns."""
    import fcntl

    try:
        fcntl.fcntl(fd, getattr(fcntl, "F_SETPIPE_SZ", _F_SETPIPE_SZ), _PIPE_BYTES)
    except OSError:
        return
