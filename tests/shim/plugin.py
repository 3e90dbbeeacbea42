"""Runs the tests of the doubles on NVIDIA's bindings: `pytest -p tests.shim.plugin`, with EDGESR_TEST_SHIM set.

EDGESR_TEST_SHIM is the folder of one unpacked wheel. Tests that go over all versions then go over this one alone;
doubles of another version, of which there can be none in the same process, stay pure.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import tensorrt
from tests.fakes.cudart import FakeCudart
from tests.shim.tensorrt import Shim

_SCRATCH = tempfile.TemporaryDirectory()
SHIM = Shim(Path(os.environ["EDGESR_TEST_SHIM"]), Path(_SCRATCH.name))
_PURE = tensorrt.Tensorrt


def _tensorrt(version: str, fake: FakeCudart | None = None) -> Any:
    return SHIM.tensorrt(fake) if version == SHIM.version else _PURE(version, fake)


tensorrt.Tensorrt = _tensorrt  # type: ignore[assignment, misc]
tensorrt.VERSIONS = (SHIM.version,)  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def nothing_went_wrong_behind_the_bindings() -> Iterator[None]:
    """Fail a test during which the library was asked for what the shim lacks, or a double raised."""
    SHIM.objects.problems.clear()
    yield
    assert not SHIM.objects.problems, "\n".join(SHIM.objects.problems)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was used of the library's interface."""
    terminalreporter.write_line(f"TensorRT {SHIM.version}: {len(SHIM.objects.used)} methods of the library were called")
