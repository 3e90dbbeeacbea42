"""Trained image networks on Jetson, NVIDIA GPUs and any CPU.

>>> import edgesr
>>> with edgesr.load("cxr-x4") as upscale:
...     large = upscale(small)  # numpy (H, W) or (H, W, C); uint8, uint16 or float in [0, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesr.errors import (
        AccuracyError,
        BackendError,
        BuildError,
        EdgesrError,
        InputError,
        ModelError,
        OutOfMemoryError,
        UsageError,
    )
    from edgesr.pipelines.load import load
    from edgesr.pipelines.restore import Restorer
    from edgesr.pipelines.result import Result

__version__ = "0.1.0"

# Imported at first use, so that `edgesr --help` and `import edgesr` cost next to nothing.
_HOMES = {
    "AccuracyError": "edgesr.errors",
    "BackendError": "edgesr.errors",
    "BuildError": "edgesr.errors",
    "EdgesrError": "edgesr.errors",
    "InputError": "edgesr.errors",
    "ModelError": "edgesr.errors",
    "OutOfMemoryError": "edgesr.errors",
    "Restorer": "edgesr.pipelines.restore",
    "Result": "edgesr.pipelines.result",
    "UsageError": "edgesr.errors",
    "load": "edgesr.pipelines.load",
}

__all__ = [
    "AccuracyError",
    "BackendError",
    "BuildError",
    "EdgesrError",
    "InputError",
    "ModelError",
    "OutOfMemoryError",
    "Restorer",
    "Result",
    "UsageError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgesr' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
