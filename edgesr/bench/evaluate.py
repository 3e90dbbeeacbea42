"""Measure a model of any task on a data set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from edgesr.bench.annotations import Annotations
from edgesr.bench.count_boxes import BoxCounter
from edgesr.bench.count_classes import ClassCounter
from edgesr.bench.count_pixels import PixelCounter
from edgesr.bench.label_quality import Counter, Label, LabelledPicture, LabelQuality, Shrink, measure_labels
from edgesr.bench.labels_file import LABEL_COLUMNS, LabelTable
from edgesr.bench.masks import Masks
from edgesr.bench.pairs import PicturePair, evenly, find_pairs
from edgesr.bench.quality import Quality, QualityOptions, Restore, Shown, measure_quality
from edgesr.errors import InputError, UsageError
from edgesr.image.resample import Kernel
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.sources import find_pictures

Measured: TypeAlias = "Quality | LabelQuality"
LOWEST_SCORE = 0.001
"""Boxes above it are given to COCO's evaluation, which needs uncertain ones too."""


@dataclass(frozen=True)
class Material:
    """The pictures of an evaluation and what is known about them."""

    images: str | Path | None = None
    """File, folder or glob: references of a restoration, whose low resolution is made; pictures to be labelled."""
    low: str | Path | None = None
    high: str | Path | None = None
    kernel: Kernel | None = None
    """Makes low resolution of ``images``: for restorations cubic unless said otherwise, for chains nothing."""
    labels: LabelTable | None = None
    masks: str | Path | None = None
    mask_values: Sequence[int] | None = None
    classes: int | None = None
    """Number of classes of a segmentation whose package has no names for them."""
    annotations: str | Path | None = None
    limit: int | None = None
    """At most so many pictures, evenly spread."""

    def pairs(self) -> list[PicturePair]:
        """List what a restoration is measured on."""
        if self.images is not None and (self.low is not None or self.high is not None):
            raise UsageError("give either pictures whose low resolution is made, or low resolution with references")
        high = self.high if self.images is None else self.images
        return find_pairs(low=self.low, high=high, kernel=self.kernel, limit=self.limit)

    def pictures(self, note: Callable[[str], None] = lambda text: None) -> list[LabelledPicture]:
        """List what a network that labels is measured on: with a table of labels, what it names."""
        if self.images is None:
            raise UsageError("there are no pictures: name the folder of those that are to be labelled")
        paths = find_pictures(self.images, recursive=self.labels is not None)
        found = [self.labelled(path) for path in paths]
        known = [picture for picture in found if picture is not None]
        if not known and self.labels is not None:
            raise InputError(f"{self.labels.path} names none of the {len(paths)} pictures of {self.images}")
        if len(known) < len(found) and self.labels is not None:
            left = len(found) - len(known)
            note(f"{left} of {len(found)} pictures left out, which {self.labels.path} does not name")
        return known if self.limit is None else evenly(known, self.limit)

    def about(self, pair: PicturePair) -> tuple[Mapping[str, str], str]:
        """Return the groups of a pair and whom it shows."""
        for path in (pair.high, pair.low):
            row = self.labels.row(path) if self.labels and path else None
            if self.labels and row is not None:
                return self.labels.groups_of(row), self.labels.cluster_of(row, pair.name)
        return {}, pair.name

    def labelled(self, path: Path) -> LabelledPicture | None:
        """Return a picture with what the table says of it; None where there is a table that does not name it."""
        if self.labels is None:
            return LabelledPicture(path, path.stem, cluster=path.stem)
        row = self.labels.row(path)
        if row is None:
            return None
        name = self.labels.name_of(row, path)
        label = row[self.labels.label] if self.labels.label else None
        return LabelledPicture(path, name, self.labels.groups_of(row), self.labels.cluster_of(row, name), label)


def evaluate(
    model: str,
    pipeline: Pipeline,
    material: Material,
    options: QualityOptions | None = None,
    *,
    fp32: Restore | None = None,
    score: float | None = None,
    note: Callable[[str], None] = lambda text: None,
    on_picture: Callable[[Shown], None] = lambda shown: None,
) -> Measured:
    """Measure a loaded model by the figures of its task; see `measure_quality` and `measure_labels`.

    ``score`` replaces the threshold of boxes, by default `LOWEST_SCORE`.
    """
    if isinstance(pipeline, PicturePipeline):
        if score is not None:
            raise UsageError(f"{model} has task {pipeline.descriptor.task}; a score threshold is for boxes")
        pairs = material.pairs()
        _say_ungrouped(material, [material.about(pair)[0] for pair in pairs], note)
        return measure_quality(
            model,
            pipeline,
            pipeline.scale,
            pairs,
            options,
            fp32=fp32,
            groups=material.about,
            note=note,
            on_picture=on_picture,
        )
    if score is not None and pipeline.task != "detect":
        raise UsageError(f"{model} has task {pipeline.task}; a score threshold is for boxes")
    pictures = material.pictures(note)
    _say_ungrouped(material, [picture.groups for picture in pictures], note)
    counter = counter_of(model, pipeline, material)
    shrink = None
    if material.kernel is not None:
        if not isinstance(pipeline, Chain):
            raise UsageError(f"{model} enlarges nothing, so that no downscaler is needed; leave it out")
        shrink = (material.kernel, pipeline.restorer.scale)
    return evaluate_labels(model, pipeline, pictures, counter, shrink=shrink, score=score, note=note)


def evaluate_labels(
    model: str,
    pipeline: LabelPipeline[Any] | Chain,
    pictures: Sequence[LabelledPicture],
    counter: Counter,
    *,
    shrink: Shrink | None = None,
    score: float | None = None,
    note: Callable[[str], None] = lambda text: None,
    label: Label | None = None,
) -> LabelQuality:
    """Measure a network that labels pictures; ``label`` stands in for a call of the pipeline."""
    thresholds: dict[str, Any] = {}
    if pipeline.task == "detect":
        thresholds["score"] = LOWEST_SCORE if score is None else score
    run = functools.partial(label or pipeline, **thresholds)
    measured = measure_labels(model, run, pictures, counter, shrink=shrink, note=note)
    return replace(measured, options={**measured.options, **thresholds})


def _say_ungrouped(material: Material, groups: Sequence[Mapping[str, str]], note: Callable[[str], None]) -> None:
    for by in material.labels.groups if material.labels else ():
        none = sum(by.column not in own for own in groups)
        if none:
            note(f"{none} of {len(groups)} pictures have nothing under {by.column!r} and are in none of its groups")


def counter_of(model: str, pipeline: LabelPipeline[Any] | Chain, material: Material) -> Counter:
    """Return what compares results with the truth that is known; raise UsageError that says which is missing."""
    names = pipeline.names
    if pipeline.task == "classify":
        if material.labels is None:
            raise UsageError(f"{model} classifies: give --labels, a table with a column of classes")
        if material.labels.label is None:
            table = material.labels
            usual, there = ", ".join(LABEL_COLUMNS), ", ".join(table.columns)
            raise UsageError(f"{table.path} has no column {usual}; name that of the class by --label-column: {there}")
        return ClassCounter(names)
    if pipeline.task == "segment":
        if material.masks is None:
            raise UsageError(f"{model} segments: give --masks, a folder of true masks")
        if names and material.classes not in (None, len(names)):
            raise UsageError(f"{model} has {len(names)} classes, not {material.classes}; leave out their number")
        classes = max(2, len(names) or material.classes or 0)
        if not names and material.classes is None:
            raise UsageError(f"{model} has no class names; give their number with --classes, or pack it with names")
        return PixelCounter(names, Masks(material.masks, classes, material.mask_values), classes)
    if material.annotations is None:
        raise UsageError(
            f"{model} detects: give --annotations, the drawn boxes in a COCO .json file or a folder of VOC .xml files"
        )
    return BoxCounter(names, Annotations(material.annotations))


def document(measured: Sequence[Measured], material: Material) -> dict[str, Any]:
    """Return the results of several models on one data set as plain JSON data."""
    about = asdict(replace(material, labels=None)) | {"labels": material.labels and material.labels.path}
    return {
        "data": {name: str(value) if isinstance(value, Path) else value for name, value in about.items()},
        "models": [one.document() for one in measured],
    }
