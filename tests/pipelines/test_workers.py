from __future__ import annotations

import os
import warnings

import pytest

from edgesr.pipelines.workers import Workers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_gets_workers_of_its_own() -> None:
    """Threads do not survive a fork: without workers of its own the child would wait for ever."""
    workers = Workers()
    assert workers.submit(int, "7").result() == 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if workers.submit(int, "8").result(timeout=20) == 8 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert workers.submit(int, "9").result() == 9
    workers.close()
