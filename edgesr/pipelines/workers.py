"""Threads for pictures that are submitted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_THREADS = 2
"""One prepares while the other runs."""


class Workers:
    """Two threads, started when the first call is submitted. Thread-safe."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def submit(self, call: Callable[..., T], *arguments: Any, **options: Any) -> Future[T]:
        """Let a thread make the call."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="edgesr")
            return self._executor.submit(call, *arguments, **options)

    def close(self) -> None:
        """Wait for what was submitted; closing twice is allowed."""
        if self._executor is not None:
            self._executor.shutdown()
