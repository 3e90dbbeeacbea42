"""Parse pipelines where NVIDIA's elements are stand-ins of the same names, pads and properties.

Run by a Python that has PyGObject: a list of pipelines, each a list of words, as JSON on standard input; for each an
error or an empty text as JSON on standard output. Pads and properties are those that Accelerated GStreamer in the
Jetson Linux Developer Guide (R36.4) lists. Nothing is played: what is proven is that GStreamer takes every word.
"""

from __future__ import annotations

import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GObject, Gst  # noqa: E402

NVMM = "video/x-raw(memory:NVMM),format={NV12,I420,RGBA}"
RAW = "video/x-raw,format={I420,NV12,BGRx,RGBA,GRAY8}"
ELEMENTS = {
    "nvarguscamerasrc": (None, NVMM, {"sensor-id": int}),
    "nvvidconv": (f"{NVMM};{RAW}", f"{NVMM};{RAW}", {"flip-method": int}),
    "nvv4l2h264enc": (NVMM, "video/x-h264", {"bitrate": int, "insert-sps-pps": bool, "idrinterval": int}),
    "nvv4l2h265enc": (NVMM, "video/x-h265", {"bitrate": int, "insert-sps-pps": bool, "idrinterval": int}),
    "nvv4l2av1enc": (NVMM, "video/x-av1", {"bitrate": int, "idrinterval": int}),
    "nv3dsink": (f"{NVMM};{RAW}", None, {"sync": bool}),
}


def register(name: str, sink: str | None, src: str | None, properties: dict[str, type]) -> None:
    """Make an element with these pads and properties known to this process."""
    templates = [
        Gst.PadTemplate.new(pad, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(caps))
        for pad, direction, caps in (("sink", Gst.PadDirection.SINK, sink), ("src", Gst.PadDirection.SRC, src))
        if caps
    ]
    flags = GObject.ParamFlags.READWRITE
    listed = {
        key: (bool, key, key, False, flags) if kind is bool else (int, key, key, 0, 2**31 - 1, 0, flags)
        for key, kind in properties.items()
    }

    def make_pads(self: Gst.Element) -> None:
        Gst.Element.__init__(self)
        for template in templates:
            self.add_pad(Gst.Pad.new_from_template(template, template.name_template))

    body = {
        "__gproperties__": listed,
        "__init__": make_pads,
        "do_set_property": lambda self, spec, value: None,
        "do_get_property": lambda self, spec: spec.default_value,
    }
    made = type(f"Fake_{name}", (Gst.Element,), body)
    made.set_metadata(name, "Test", "stand-in", "edgesr")
    for template in templates:
        made.add_pad_template(template)
    Gst.Element.register(None, name, Gst.Rank.NONE, made)


def complaint(words: list[str]) -> str:
    """Return why GStreamer does not take a pipeline; empty where it does."""
    try:
        # As gst-launch-1.0 does with its arguments.
        Gst.parse_launchv_full(words, None, Gst.ParseFlags.FATAL_ERRORS)
    except gi.repository.GLib.Error as error:
        return error.message
    return ""


Gst.init(None)
for name, (sink, src, properties) in ELEMENTS.items():
    register(name, sink, src, properties)
print(json.dumps([complaint(words) for words in json.load(sys.stdin)]))  # noqa: T201
