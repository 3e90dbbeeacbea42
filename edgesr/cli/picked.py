"""What ``--device auto`` picked, for the documents of ``--json``."""

from __future__ import annotations

from typing import Any

from edgesr.compile.fastest import FastestCpu
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.load import Pipeline


def picked_runtimes(pipeline: Pipeline) -> dict[str, Any]:
    """Return ``runtime``, a sentence for each network and size that was run; nothing where the device was named."""
    stages = (pipeline.restorer, pipeline.labels) if isinstance(pipeline, Chain) else (pipeline,)
    backends = [stage.backend for stage in stages]
    told = [sentence for backend in backends if isinstance(backend, FastestCpu) for sentence in backend.picked]
    return {"runtime": list(dict.fromkeys(told))} if told else {}
