"""``edgesr run`` with a camera, a stream or video: frames in, frames out, until the end or Ctrl-C."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from edgesr.cli.output import note, result, result_json
from edgesr.cli.systemd import Notifier
from edgesr.errors import UsageError
from edgesr.media.address import Address
from edgesr.media.codec import CONTAINERS
from edgesr.media.flow import Flow, Report
from edgesr.media.frame import Frame
from edgesr.media.open import open_sink, open_source
from edgesr.media.parse import is_media, parse_sink, parse_source
from edgesr.media.redact import redact
from edgesr.media.sink import Sink
from edgesr.media.source import Source
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.sources import is_folder, is_pattern
from edgesr.types import Array

_LINE_EVERY = 10.0
_STILL = ("uncertainty", "heat_map", "max_residual", "recursive", "restart", "format")
"""Options that make no sense for what moves."""
_USUAL_WORKERS = 2


def execute_live(arguments: argparse.Namespace) -> int:
    """Run every frame of one source through the model and return 0 at its end."""
    from edgesr.cli.run import open_pipeline

    source_address = _only_source(arguments)
    sink_text = arguments.output or _usual_output(source_address, arguments)
    with ExitStack() as stack:
        sink = _open_sink(sink_text, arguments, source_address)
        source = stack.enter_context(_open_source(arguments))
        start = perf_counter()
        pipeline: Pipeline = open_pipeline(arguments)
        stack.callback(pipeline.close)
        load_ms = (perf_counter() - start) * 1e3
        if sink is None and isinstance(pipeline, PicturePipeline):
            raise UsageError(f"{source.name}: a live source needs -o, for example -o display://0 or -o out.mkv")
        flow = _flow(pipeline, source, sink, arguments)
        document: dict[str, Any] = {"source": source.name, "sink": sink.name if sink else None, "live": source.is_live}
        document |= {"capture": source.path, "encode": sink.path if sink else None}
        document |= {"lossy": bool(sink and sink.is_lossy), "load_ms": load_ms, **pipeline.meta()}
        try:
            report = flow.run(_Ticker(quiet=arguments.json))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                _finish(flow.report(), document, sink, arguments)
            raise
        for text in pipeline.notes:
            note(text)
        _finish(report, document, sink, arguments)
    return 0


def _flow(pipeline: Pipeline, source: Source, sink: Sink | None, arguments: argparse.Namespace) -> Flow[Any]:
    options = {
        "workers": arguments.workers or _USUAL_WORKERS,
        "skip_similar": arguments.skip_similar,
        "limit": arguments.frames,
    }
    if isinstance(pipeline, PicturePipeline):
        restore: Flow[Array] = Flow(source, pipeline, sink, picture=lambda image: image, **options)
        return restore
    picture = (lambda found: found.overlay()) if sink is not None else (lambda found: found.picture)
    tell = (lambda frame, found: None) if sink is not None or arguments.json else _tell
    return Flow(source, pipeline, sink, picture=picture, on_result=tell, **options)


def _tell(frame: Frame, found: Any) -> None:
    """Print what was found in one frame as one line of JSON."""
    import json

    h, w = found.picture.shape[:2]
    line = {"frame": frame.index, "time": round(frame.time, 6), "size": [h, w], **found.predictions()}
    result(json.dumps(line, default=str))


def _only_source(arguments: argparse.Namespace) -> Address:
    if len(arguments.input) > 1:
        named = next((text for text in arguments.input if is_media(text)), arguments.input[0])
        raise UsageError(f"{redact(named)}: give one source at a time; cameras, streams and video do not mix")
    for name in _STILL:
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')} is for still pictures, not for cameras, streams and video")
    address = parse_source(arguments.input[0])
    if address.kind == "pictures" and not is_folder(address.target) and not is_pattern(address.target):
        raise UsageError(
            f"{address}: is one picture, which makes no video; give -o NAME.png, or a folder of pictures as input"
        )
    return address


def _usual_output(source: Address, arguments: argparse.Namespace) -> str | None:
    """Return the file beside a video; None where the user has to say."""
    if source.kind != "video":
        return None
    path = Path(source.target)
    suffix = path.suffix.lower() if path.suffix.lower() in (*CONTAINERS, ".y4m") else ".mkv"
    return str(path.with_name(f"{path.stem}{arguments.suffix or '_edgesr'}{suffix}"))


def _open_source(arguments: argparse.Namespace) -> Source:
    given = {
        "timeout": arguments.timeout,
        "connect_timeout": arguments.connect_timeout,
        "reconnect": arguments.reconnect,
    }
    options = {name: value for name, value in given.items() if value is not None}
    told = partial(note)
    return open_source(arguments.input[0], through=arguments.media, note=told, **options)


def _open_sink(text: str | None, arguments: argparse.Namespace, source: Address) -> Sink | None:
    if text is None:
        return None
    address = parse_sink(text)
    if address.kind == "stdio" and arguments.json:
        raise UsageError("-o - and --json both write to standard output; leave one out")
    if address.kind == "video" and source.kind == "video":
        same = os.path.realpath(address.target) == os.path.realpath(source.target)
        if same:
            raise UsageError(f"{address}: the output would replace this input; give another -o")
    if address.kind == "pictures" and Path(address.target).suffix and not Path(address.target).is_dir():
        path = Path(address.target)
        numbered = path.with_name(f"{path.stem}_%05d{path.suffix}")
        raise UsageError(f"{address}: holds one picture; give -o {numbered} or a folder")
    given = {"timeout": arguments.timeout}
    options = {name: value for name, value in given.items() if value is not None}
    return open_sink(
        text, fps=arguments.fps, codec=arguments.codec, bitrate=arguments.bitrate, through=arguments.media, **options
    )


class _Ticker:
    """Says every few seconds how it goes, and to systemd that frames come out."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last = monotonic()
        self._written = 0
        self._notifier = Notifier()
        self._notified = 0

    def __call__(self, report: Report) -> None:
        if report.written > self._notified:
            self._notified = report.written
            self._notifier.picture()
        now = monotonic()
        if self._quiet or now - self._last < _LINE_EVERY:
            return
        rate = (report.written - self._written) / (now - self._last)
        self._last, self._written = now, report.written
        latency = f"latency p50 {report.latency_ms['p50']:.1f} ms"
        note(f"{report.written} frames, {rate:.1f} frames/s, {report.dropped} dropped, {latency}")


def _finish(report: Report, document: dict[str, Any], sink: Sink | None, arguments: argparse.Namespace) -> None:
    if arguments.json:
        result_json({**document, **report.document(), "parts": sink.parts if sink else 0})
        return
    if sink is not None and sink.written and sink.name != "-" and "://" not in sink.name:
        result(sink.name)
    note(_summary(report))
    if sink is not None and sink.is_lossy and sink.written and "://" not in sink.name:
        kept = "" if sink.name == "-" else "; --codec ffv1 in a .mkv file keeps the network's pixels"
        note(f"{sink.name}: the encoding is lossy{kept}")


def _summary(report: Report) -> str:
    if report.input_size is None or report.output_size is None:
        return "no frame came"
    (h, w), (out_h, out_w) = report.input_size, report.output_size
    latency = report.latency_ms
    parts = [f"{report.written} frames, {w} x {h} -> {out_w} x {out_h}", f"{report.fps:.1f} frames/s"]
    parts += [f"{report.dropped} dropped"]
    parts += [f"{report.skipped} repeated as similar"] if report.skipped else []
    parts += [f"{report.reconnects} reconnects"] if report.reconnects else []
    percentiles = ", ".join(f"{name} {latency[name]:.1f}" for name in ("p50", "p95", "p99"))
    return f"{', '.join(parts)}; latency {percentiles} ms"
