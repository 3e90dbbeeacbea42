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
    from edgesr.media.flow import Flow
    from edgesr.media.frame import Frame
    from edgesr.media.open import open_sink, open_source
    from edgesr.media.sink import Sink
    from edgesr.media.source import Source
    from edgesr.pipelines.chain import Chain
    from edgesr.pipelines.classify import Classifier
    from edgesr.pipelines.detect import Detector
    from edgesr.pipelines.diffusion import LatentDiffusion
    from edgesr.pipelines.label_result import Classification, Detections, Segmentation
    from edgesr.pipelines.load import load
    from edgesr.pipelines.restore import Restorer
    from edgesr.pipelines.result import Result
    from edgesr.pipelines.segment import Segmenter

__version__ = "0.1.0"

# Imported at first use, so that `edgesr --help` and `import edgesr` cost next to nothing.
_HOMES = {
    "AccuracyError": "edgesr.errors",
    "BackendError": "edgesr.errors",
    "BuildError": "edgesr.errors",
    "Chain": "edgesr.pipelines.chain",
    "Classification": "edgesr.pipelines.label_result",
    "Classifier": "edgesr.pipelines.classify",
    "Detections": "edgesr.pipelines.label_result",
    "Detector": "edgesr.pipelines.detect",
    "EdgesrError": "edgesr.errors",
    "Flow": "edgesr.media.flow",
    "Frame": "edgesr.media.frame",
    "InputError": "edgesr.errors",
    "LatentDiffusion": "edgesr.pipelines.diffusion",
    "ModelError": "edgesr.errors",
    "OutOfMemoryError": "edgesr.errors",
    "Restorer": "edgesr.pipelines.restore",
    "Result": "edgesr.pipelines.result",
    "Segmentation": "edgesr.pipelines.label_result",
    "Segmenter": "edgesr.pipelines.segment",
    "Sink": "edgesr.media.sink",
    "Source": "edgesr.media.source",
    "UsageError": "edgesr.errors",
    "load": "edgesr.pipelines.load",
    "open_sink": "edgesr.media.open",
    "open_source": "edgesr.media.open",
}

__all__ = [
    "AccuracyError",
    "BackendError",
    "BuildError",
    "Chain",
    "Classification",
    "Classifier",
    "Detections",
    "Detector",
    "EdgesrError",
    "Flow",
    "Frame",
    "InputError",
    "LatentDiffusion",
    "ModelError",
    "OutOfMemoryError",
    "Restorer",
    "Result",
    "Segmentation",
    "Segmenter",
    "Sink",
    "Source",
    "UsageError",
    "__version__",
    "load",
    "open_sink",
    "open_source",
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
