"""The times of OpenVINO's kernels, in the form in which ONNX Runtime writes those of its operators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from edgesr.errors import BackendError


class KernelTimes:
    """Collects what each run took and writes it as a list of trace events, one ``model_run`` after those of its run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: list[dict[str, Any]] = []

    def add(self, kernels: Iterable[Any]) -> None:
        """Add a run: OpenVINO's ``ProfilingInfo`` of every node, of which those that were fused away did not run."""
        begin = timedelta()
        for kernel in kernels:
            if kernel.status == type(kernel).Status.EXECUTED:
                self._events.append(
                    {
                        "cat": "Node",
                        "name": f"{kernel.node_name}_kernel_time",
                        "dur": kernel.real_time / timedelta(microseconds=1),
                        "args": {"op_name": kernel.node_type, "kernel": kernel.exec_type},
                    }
                )
                begin += kernel.real_time
        self._events.append({"cat": "Session", "name": "model_run", "dur": begin / timedelta(microseconds=1)})

    def write(self) -> None:
        """Write the file; raises BackendError where it cannot be."""
        try:
            self._path.write_text(json.dumps(self._events))
        except OSError as error:
            raise BackendError(f"{self._path}: OpenVINO's profile cannot be written: {error.strerror}") from None
