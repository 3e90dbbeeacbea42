"""The timings of kernels that builds share: TensorRT measures a layer once, and later builds take the result over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesr.compile.locking import locked
from edgesr.engines.trt_api import Lines
from edgesr.model.atomic import replacing


class TimingFile:
    """A file of timings of one TensorRT and one kind of GPU, which any number of builds read and add to at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, config: Any, lines: Lines) -> str:
        """Give the timings to a build; return a sentence where they were of no use, else an empty text."""
        unreadable = ""
        try:
            content = self.path.read_bytes() if self.path.is_file() else b""
        except OSError as error:
            content, unreadable = b"", f"the timing cache cannot be read ({error.strerror or error}) and is not used"
        timing = config.create_timing_cache(content)
        if timing is not None and config.set_timing_cache(timing, False):
            return unreadable
        # The refusal is in the log as an error; it is no reason of what follows.
        lines.clear()
        timing = config.create_timing_cache(b"")
        if timing is not None:
            config.set_timing_cache(timing, False)
        return "the timing cache is of another TensorRT or GPU, or damaged, and starts anew"

    def merge(self, config: Any) -> None:
        """Add a build's timings to what the file holds by now; where both know a layer, the file's timing stays."""
        mine = config.get_timing_cache()
        if mine is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".lock")):
            content = self.path.read_bytes() if self.path.is_file() else b""
            merged = config.create_timing_cache(content)
            if merged is None or not merged.combine(mine, False):
                merged = mine
            new = bytes(memoryview(merged.serialize()))
            if new != content:
                with replacing(self.path) as stream:
                    stream.write(new)
