"""Threads for pictures that are submitted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from edgesr.errors import BackendError

T = TypeVar("T")
_THREADS = 2
"""One prepares while the other runs."""


class Workers:
    """Two threads, started when the first call is submitted, and anew in a forked process. Thread-safe."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._is_closed = False
        self._lock = threading.Lock()

    def submit(self, call: Callable[..., T], *arguments: Any, **options: Any) -> Future[T]:
        """Let a thread make the call."""
        with self._lock:
            if self._is_closed:
                raise BackendError("the pipeline is closed; load the model again")
            if self._executor is None or self._process != os.getpid():
                self._process = os.getpid()
                self._executor = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="edgesr")
            return self._executor.submit(call, *arguments, **options)

    def close(self) -> None:
        """Wait for what was submitted; closing twice is allowed."""
        with self._lock:
            self._is_closed = True
        if self._executor is not None and self._process == os.getpid():
            self._executor.shutdown()
