"""All figures of a report: those of restored pictures, and those of labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from edgesr.bench.metrics.figures import METRICS, Metric

LABEL_METRICS: Mapping[str, Metric] = {
    "top1": Metric("top-1", "", "higher", 4),
    "top5": Metric("top-5", "", "higher", 4),
    "balanced": Metric("balanced accuracy", "", "higher", 4),
    "miou": Metric("mIoU", "", "higher", 4),
    "pixel_accuracy": Metric("pixel accuracy", "", "higher", 4),
    "miou_per_picture": Metric("mIoU per picture", "", "higher", 4),
    "map": Metric("mAP", "", "higher", 4),
    "map_50": Metric("mAP 50", "", "higher", 4),
    "map_75": Metric("mAP 75", "", "higher", 4),
    "map_small": Metric("mAP small", "", "higher", 4),
    "map_medium": Metric("mAP medium", "", "higher", 4),
    "map_large": Metric("mAP large", "", "higher", 4),
    "agreement": Metric("agreement with FP32", "", "higher", 4),
}
"""Figures of networks that label pictures, by name, in the order of tables; the first that a model has judges it."""

FIGURES: Mapping[str, Metric] = {**METRICS, **LABEL_METRICS}
"""Every figure by its name, in the order of tables."""


def main_figure(known: Collection[str]) -> str | None:
    """Return which of the ``known`` figures judges a model: the first in the order of tables; None for none."""
    return next((name for name in FIGURES if name in known), None)
