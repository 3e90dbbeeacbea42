"""The connection to a Ray cluster, or one of its own on this machine; the one place that imports Ray."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgesr.errors import BackendError

_STORE_BYTES = 96 << 20


class Cluster:
    """A connection to a Ray cluster, or one of its own on this machine; ``address`` is empty for Ray's own choice."""

    def __init__(self, address: str, *, cpus: int, store_bytes: int = 0, debug: bool = False) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise BackendError(
                f"--ray needs Ray, which cannot be imported ({error}): pip install 'edgesr[ray]'"
            ) from None
        self.ray: Any = ray
        self.is_own = not ray.is_initialized()
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        self.is_local = address == "local"
        common: dict[str, Any] = {"log_to_driver": debug, "logging_level": "INFO" if debug else "CRITICAL"}
        if self.is_local:
            common |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE_BYTES + store_bytes}
        else:
            _knock(address)
        self._stdout = sys.stdout
        # Ray prints there when a worker dies; results are for whoever reads them, so it gets another place.
        self._sink = sys.stderr if debug else io.StringIO()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        sys.stdout = self._sink
        try:
            if self.is_own:
                self._connect(address, common)
        except Exception as error:  # Ray raises bare ones, too
            sys.stdout = self._stdout
            where = "on this machine" if self.is_local else f"at {address}"
            hint = "try again" if self.is_local else "see `ray status`; one with tokens needs RAY_AUTH_MODE=token"
            raise BackendError(f"--ray: no Ray cluster {where}: {first_line(error)}; {hint}") from None
        finally:  # Ray puts a handler of its own in the place of ours
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _connect(self, address: str, settings: Mapping[str, Any]) -> None:
        try:
            self.ray.init(address=address, **settings)
        except Exception as error:
            if not self.is_local or "timed out" not in str(error):
                raise
            self.ray.shutdown()  # a busy machine takes longer than Ray waits; the files are in memory by now
            self.ray.init(address=address, **settings)

    def total(self, resource: str) -> float:
        """Return how much of ``CPU`` or ``GPU`` all machines have together."""
        return float(self.ray.cluster_resources().get(resource, 0))

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        if self.is_own:
            self.ray.shutdown()
        sys.stdout = self._stdout

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Give standard output back for as long as a result is written."""
        sys.stdout = self._stdout
        try:
            yield
        finally:
            sys.stdout = self._sink


def first_line(error: BaseException) -> str:
    """Return what an error of Ray says before it goes on for a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".;:")


def _knock(address: str) -> None:
    """Raise BackendError where nobody answers at ``HOST:PORT``: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), 10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BackendError(f"--ray {address}: no Ray cluster answers there: {reason}; see `ray status`") from None
