"""`import tensorrt` for child processes: put the folder that `site_folder` makes at the front of PYTHONPATH.

DOUBLE_TENSORRT_VERSION names the version, DOUBLE_TENSORRT_FAULTS holds its faults as JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.fakes.tensorrt import Tensorrt

ROOT = Path(__file__).parents[2]
_TEXT = """
import sys
sys.path.insert(0, {root!r})
from tests.fakes.trt_module import module
globals().update(vars(module()))
"""


def site_folder(folder: Path) -> Path:
    """Write a module `tensorrt` into ``folder`` that is the double."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tensorrt.py").write_text(_TEXT.format(root=str(ROOT)))
    return folder


def module() -> object:
    """Make the module that the environment describes."""
    double = Tensorrt(os.environ["DOUBLE_TENSORRT_VERSION"])
    double.faults.update(json.loads(os.environ.get("DOUBLE_TENSORRT_FAULTS", "{}")))
    return double.module
