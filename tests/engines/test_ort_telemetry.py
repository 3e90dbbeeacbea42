"""Nothing is reported to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = (
    "import numpy as np, edgesr\n"
    "with edgesr.load('cxr-x4-fast', 'cpu', threads=1) as up: up(np.zeros((8, 8), np.uint8))\n"
    "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
)


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_the_telemetry_of_onnx_runtime_is_off_unless_the_user_wants_it(
    tmp_path: Path, given: str | None, expected: str
) -> None:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY")
    }
    environment = kept | {"HOME": str(tmp_path)} | ({} if given is None else {"ORT_DISABLE_TELEMETRY": given})
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.split() == [expected]
    written = sorted(path.name for path in (tmp_path / ".cache").iterdir())
    assert given == "0" or written == ["edgesr"], "ONNX Runtime keeps what it will report in .cache/Microsoft"
