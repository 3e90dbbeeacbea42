"""edgesr between the appsink and the appsrc of your own GStreamer pipelines: python gstreamer_app.py [MODEL]."""

from __future__ import annotations

import sys
from collections.abc import Callable

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402

CAMERA = "videotestsrc num-buffers=20 ! video/x-raw,format=RGB,width=64,height=48,framerate=10/1"
SCREEN = "videoconvert ! fakesink"


def main(restore: Callable[[np.ndarray], np.ndarray], camera: str = CAMERA, screen: str = SCREEN) -> int:
    """Send every frame of ``camera`` (RGB) through ``restore`` to ``screen`` and return how many there were."""
    Gst.init(None)
    # drop=true max-buffers=1 keeps the newest frame only; leave both out for files.
    source = Gst.parse_launch(f"{camera} ! appsink name=sink sync=false")
    target = Gst.parse_launch(f"appsrc name=src format=time is-live=true ! {screen}")
    sink, src = source.get_by_name("sink"), target.get_by_name("src")
    assert isinstance(sink, GstApp.AppSink)
    source.set_state(Gst.State.PLAYING)
    target.set_state(Gst.State.PLAYING)
    count = 0
    while (sample := sink.emit("pull-sample")) is not None:
        caps, buffer = sample.get_caps().get_structure(0), sample.get_buffer()
        width, height = caps.get_value("width"), caps.get_value("height")
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        # GStreamer rounds the rows of RGB up to four bytes.
        frame = data.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
        large = restore(frame)
        if count == 0:
            size = f"width={large.shape[1]},height={large.shape[0]}"
            src.set_property("caps", Gst.Caps.from_string(f"video/x-raw,format=RGB,{size},framerate=10/1"))
        rows = np.pad(large.reshape(large.shape[0], -1), ((0, 0), (0, -3 * large.shape[1] % 4)))
        out = Gst.Buffer.new_wrapped(rows.tobytes())
        out.pts, out.duration = buffer.pts, buffer.duration
        src.emit("push-buffer", out)
        count += 1
    src.emit("end-of-stream")
    target.get_bus().timed_pop_filtered(10 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    source.set_state(Gst.State.NULL)
    target.set_state(Gst.State.NULL)
    return count


if __name__ == "__main__":
    import edgesr

    with edgesr.load(*sys.argv[1:2] or ["cxr-x4-fast"]) as pipeline:
        print(main(pipeline), "frames")
