"""An RTSP server on loopback for a test; run by a Python that has PyGObject: rtsp_server.py PORT.

It serves an H.264 test picture, solid red, as rtsp://user:geheim@127.0.0.1:PORT/red, and prints ``ready``. ``/in``
takes what is recorded to it.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURE = (
    "( videotestsrc is-live=true pattern=red ! video/x-raw,format=I420,width=64,height=48,framerate=20/1 ! "
    "x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
RECORDER = "( rtph264depay name=depay0 ! fakesink sync=false )"


def main(port: str) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("user", "geheim"), token)
    server.set_auth(auth)
    for path, launch in (("/red", PICTURE), ("/in", RECORDER)):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(True)
        factory.set_latency(50)
        if path == "/in":
            factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        factory.add_role_from_structure(
            Gst.Structure.new_from_string("user,media.factory.access=true,media.factory.construct=true")
        )
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    print("ready", flush=True)  # noqa: T201
    GLib.MainLoop().run()


main(sys.argv[1])
