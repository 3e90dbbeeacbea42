"""The installed TensorRT and what differs between its versions; the one file that imports it.

Members that only some versions have are asked for by name and may be None: their numbers change between versions, and
TensorRT 11 removed many. The version itself decides only what cannot be probed.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from edgesr.engines.messages import explain
from edgesr.errors import BackendError, ModelError

OLDEST = (8, 6)

# By name: the numbers differ between versions. Types that numpy lacks (BF16, FP8, INT4, FP4) are left out.
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
_LINES_KEPT = 400


@dataclass(frozen=True)
class LogLine:
    """One message of TensorRT; ``severity`` is one of SEVERITIES."""

    severity: str
    text: str


class Log:
    """Receives every message of one TensorRT module and hands them to whoever collects at that time.

    ``logger`` is the ILogger to pass to TensorRT, which keeps only the first one it is given in a process: hence one
    Log for each module.
    """

    def __init__(self, trt: Any) -> None:
        self._collectors: list[Callable[[LogLine], None]] = []
        self._lock = threading.Lock()
        self.logger = _make_logger(trt, self._receive)

    @contextmanager
    def collect(self, severity: str = "WARNING", sink: Callable[[LogLine], None] | None = None) -> Iterator[Lines]:
        """Collect the messages at least as grave as ``severity`` that come from any thread; ``sink`` sees each too."""
        grave = SEVERITIES[: SEVERITIES.index(severity) + 1]
        lines = Lines(maxlen=_LINES_KEPT)

        def take(line: LogLine) -> None:
            if line.severity in grave:
                lines.append(line)
                if sink is not None:
                    sink(line)

        with self._lock:
            self._collectors.append(take)
        try:
            yield lines
        finally:
            with self._lock:
                self._collectors.remove(take)

    def _receive(self, severity: str, text: str) -> None:
        line = LogLine(severity, text)
        with self._lock:
            collectors = list(self._collectors)
        for take in collectors:
            take(line)


class Lines(deque[LogLine]):
    """The newest messages of one collection."""

    @property
    def errors(self) -> list[str]:
        """Texts of the errors, oldest first."""
        return [line.text for line in self if line.severity in SEVERITIES[:2]]

    def reason(self) -> str:
        """One line that says why a call failed: the first errors, else the last warning."""
        texts = self.errors[:2] or [line.text for line in self][-1:]
        return "; ".join(" ".join(text.split()) for text in texts) or "TensorRT gave no reason"


class TensorRt:
    """A TensorRT module: its version, optional members and log.

    ``trt`` is the module, ``version`` its numbers, e.g. ``(10, 3, 0)``, ``log`` what it says.
    """

    def __init__(self, module: Any) -> None:
        self.trt = module
        # Only what stands before words: "10.4.0b11" is 10.4.0, and "8.6.1.post1" is 8.6.1.
        self.version = tuple(map(int, re.findall(r"\d+", re.split(r"[^\d.]", module.__version__)[0])[:4]))
        if self.version < OLDEST:
            raise BackendError(
                f"TensorRT {module.__version__} is too old; edgesr needs 8.6 or newer (JetPack 6.0 or newer)"
            )
        self.log = _log_of(module)

    @classmethod
    def load(cls) -> TensorRt:
        """Import TensorRT; raise BackendError with the reason where that fails."""
        try:
            import tensorrt
        except (ImportError, OSError) as error:
            # OSError: NVIDIA's wheels load the libraries by ctypes. Compiling the catalogue takes longer than a
            # picture; that nothing is installed needs no explanation.
            is_absent = isinstance(error, ImportError) and error.name == "tensorrt"
            said = str(error) if is_absent else explain(str(error))
            raise BackendError(
                f"TensorRT cannot be imported: {said}; on a Jetson use JetPack's own with a virtual "
                "environment made with --system-site-packages, elsewhere install tensorrt"
            ) from None
        lacking = next((name for name in ("__version__", "ILogger") if not hasattr(tensorrt, name)), None)
        if lacking is not None:
            place = getattr(tensorrt, "__file__", None) or "a folder without an __init__.py"
            raise BackendError(
                f"the tensorrt that imports from {place} has no {lacking}: remove it or install it again"
            )
        return cls(tensorrt)

    @property
    def version_text(self) -> str:
        """The version as NVIDIA writes it."""
        return str(self.trt.__version__)

    def flag(self, enum: str, name: str) -> Any:
        """Return the member ``name`` of the enum called ``enum``, or None where this version lacks it."""
        return getattr(getattr(self.trt, enum, None), name, None)

    def require(self, enum: str, name: str, purpose: str) -> Any:
        """Return the member like ``flag``; raise BackendError naming ``purpose`` where this version lacks it."""
        member = self.flag(enum, name)
        if member is None:
            raise BackendError(f"TensorRT {self.version_text} has no {enum}.{name}, needed for {purpose}")
        return member

    def dtype(self, member: Any, tensor: str) -> np.dtype[Any]:
        """Return the numpy dtype of a ``trt.DataType``; raise ModelError for one that numpy lacks."""
        if member.name not in DTYPES:
            raise ModelError(
                f"tensor {tensor!r} has type {member.name}, which edgesr cannot pass; build the engine with FP32 or "
                "FP16 inputs and outputs"
            )
        return np.dtype(DTYPES[member.name])

    def runtime(self, *, host_code: bool = False, dla_core: int | None = None) -> Any:
        """Make a ``trt.Runtime``; raise BackendError where no GPU answers, or the accelerator has no such core.

        ``host_code`` allows the code for the CPU that version-compatible plans bring. A plan for the accelerator runs
        on the core of the runtime that loads it, whichever it was built for, and on core 0 without a word.
        """
        with self.log.collect() as lines:
            try:
                runtime = self.trt.Runtime(self.log.logger)
            except (TypeError, RuntimeError) as error:
                reason = explain(f"{lines.reason()} ({error})")
                raise BackendError(f"TensorRT {self.version_text} does not start: {reason}") from None
        runtime.engine_host_code_allowed = host_code
        if dla_core is not None:
            require_core(dla_core, runtime.num_DLA_cores)
            runtime.DLA_core = dla_core
        return runtime


def require_core(core: int, cores: int) -> None:
    """Raise BackendError where the deep learning accelerator has no such core."""
    if core >= cores:
        has = f"{cores} DLA core{'s' * (cores > 1)}, counted from 0" if cores else "no DLA that TensorRT can use"
        raise BackendError(
            f"this machine has {has}, and DLA core {core} was asked for; build without --dla to use the GPU"
        )


def _make_logger(trt: Any, receive: Callable[[str, str], None]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        """Passes the messages on; TensorRT calls it from its own threads too."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            receive(severity.name, msg)

    return Logger()


@lru_cache(maxsize=16)
def _log_of(module: ModuleType) -> Log:
    return Log(module)
