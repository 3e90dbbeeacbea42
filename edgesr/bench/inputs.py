"""What a model is given of a pair of pictures."""

from __future__ import annotations

from edgesr.bench.label_quality import Shrink, read_shrunk
from edgesr.bench.pairs import PicturePair
from edgesr.errors import UsageError
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array


def input_of(pipeline: Pipeline, pair: PicturePair) -> Array:
    """Read the input, ``(h, w, C)``: made small where the pair says how, for models that enlarge."""
    if isinstance(pipeline, PicturePipeline):
        return pair.read(pipeline.scale)[0]
    path = pair.low or pair.high
    if path is None:
        raise UsageError(f"{pair.name}: there is no picture")
    return read_shrunk(path, shrink_of(pipeline, pair))[0]


def shrink_of(pipeline: Pipeline, pair: PicturePair) -> Shrink | None:
    """Return how a picture to be labelled is made small first; only chains enlarge it again."""
    if pair.kernel is None or not isinstance(pipeline, Chain):
        return None
    return pair.kernel, pipeline.restorer.scale
