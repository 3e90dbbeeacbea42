"""A checked model package of Faster R-CNN: two networks, and what chooses regions between them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

import edgesr
from edgesr.errors import AccuracyError, UsageError
from edgesr.model.label_rules import NETWORK, REGIONS
from edgesr.model.package import ModelPackage
from edgesr.pipelines.roi_align import roi_align
from export.exporting.deriving import check_evaluation_mode
from export.exporting.labelling import (
    Fields,
    base,
    check_classes,
    checked,
    expectations,
    export_part,
    fixed_sides,
    part,
    told,
    write,
)
from export.exporting.onnx_graph import INPUT, export_onnx, opened
from export.exporting.parity import PICTURES, Parity, compared, read_picture
from export.exporting.targets import TARGETS
from export.models.fasterrcnn import RegionHead, RegionNetwork, prediction

MULTIPLE = 32
"""What sides of the network's input are multiples of, in pixels."""
_OUTPUTS = ("features", "objectness", "deltas")
_PICTURES = ((240, 320), (230, 170))
_CROPS = 16
_CLOSE_SCORE, _CLOSE_PIXELS = 1e-3, 0.1
_AGREEMENT = 0.98
"""Share of torchvision's boxes that must be found: of two that overlap by just the threshold either may be dropped."""


def package_regions(
    whole: FasterRCNN,
    out: Path,
    given: Mapping[str, Any],
    *,
    classes: int | None,
    target: str,
    say: Callable[[str], None],
) -> ModelPackage:
    """Export a detector in evaluation mode in two parts, prove parts and boxes equal to torchvision's, and write them.

    ``given`` holds fields of model.json; ``input.resize`` with the rule exact or letterbox makes a graph of that size.
    Raise UsageError, BuildError and AccuracyError as ``package_labels``.
    """
    check_evaluation_mode(whole)
    expects = expectations(given.get("input", {}))
    fixed = fixed_sides(expects)
    if fixed and (fixed[0] % MULTIPLE or fixed[1] % MULTIPLE):
        raise UsageError(f"--resize: sides must be multiples of {MULTIPLE}, got {fixed[0]}x{fixed[1]}")
    check_classes(whole.roi_heads.box_predictor.cls_score.out_features, classes, given.get("labels"))
    first, parities = export_part(
        RegionNetwork(whole).eval(), _OUTPUTS, expects, channels=3, target=target, say=say, multiple=MULTIPLE
    )
    second, found = _second(whole, expects, target, say)
    parities += found
    say(told(parities))
    document = {
        **base(out, "detect", expects, 3, fixed, minimum=1, multiple=1 if fixed else MULTIPLE),
        "parts": {
            NETWORK: part(NETWORK, {"image": INPUT}, _OUTPUTS),
            REGIONS: part(REGIONS, {"crops": "crops"}, ("logits", "deltas")),
        },
        **{key: value for key, value in given.items() if key not in ("input", "prediction")},
        "prediction": {**prediction(whole), **given.get("prediction", {})},
    }
    rows = [parity.row() for parity in parities]
    models = {NETWORK: first, REGIONS: second}
    if _is_torchvisions(expects):
        trial = write(out.with_name(f".{out.name}.trial.edgesr"), document, models)
        try:
            rows += _boxes(whole, Path(trial.path), expects, say)
        finally:
            Path(trial.path).unlink(missing_ok=True)
    else:
        say("torchvision has no such resizing: its boxes are not compared, its networks are")
    return write(out, {**document, "quality": [*given.get("quality", ()), *rows]}, models)


def _second(whole: FasterRCNN, expects: Fields, target: str, say: Callable[[str], None]) -> tuple[Any, list[Parity]]:
    head = RegionHead(whole).eval()
    traced = export_onnx(
        head,
        torch.rand(_CROPS, *_crops(whole, PICTURES[0]).shape[1:]),
        ("logits", "deltas"),
        opset=TARGETS[target].opset,
        scale=None,
        multiple=0,
        input_name="crops",
    )
    checked(traced.model, traced.exporter, target, say)
    found: list[Parity] = []
    run = opened(traced.model)
    for name in PICTURES:
        found += compared(head, run, ("logits", "deltas"), _crops(whole, name), (name, (7, 7)))
    return traced.model, found


def _crops(whole: FasterRCNN, name: str) -> Tensor:
    """Return the features of regions spread over a picture."""
    values = whole.transform.normalize(read_picture(name, (192, 192), 3)[0])
    with torch.inference_mode():
        features = next(iter(whole.backbone(values[None]).values()))[0].numpy()
    low = np.random.default_rng(0).uniform(0, 120, (_CROPS, 2))
    boxes = np.concatenate([low, low + 60], 1).astype(np.float32)
    pool = whole.roi_heads.box_roi_pool
    crops = roi_align(features, boxes, stride=32, pooled=pool.output_size[0], samples=pool.sampling_ratio)
    return torch.from_numpy(crops)


def _is_torchvisions(expects: Mapping[str, Any]) -> bool:
    resize = expects.get("resize") or {}
    is_plain = not resize.get("antialias", True) and resize.get("interpolation", "bilinear") == "bilinear"
    return is_plain and resize.get("rule") in ("fit", "exact") and expects["color"] == "rgb"


def _boxes(whole: FasterRCNN, package: Path, expects: Fields, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Compare what the package finds in pictures with what torchvision finds; return the entries of ``quality``."""
    resize = expects["resize"]
    if resize["rule"] == "fit":
        whole.transform.min_size, whole.transform.max_size = (resize["size"][0],), resize["longest"]
    else:
        whole.transform.fixed_size = (resize["size"][1], resize["size"][0])
    usual, rows = whole.roi_heads.score_thresh, []
    with edgesr.load(package, device="cpu") as detect:
        for name, size in zip(PICTURES, _PICTURES, strict=True):
            values = read_picture(name, size, 3)[0]
            score = usual
            expected = _run(whole, values, usual)
            if not len(expected["scores"]):
                score, expected = 0.0, _run(whole, values, 0.0)
            picture = (values * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            rows.append(_matched(expected, detect(picture, score=score), name, size))
    worst = max(rows, key=lambda row: float(row["largest_difference"]))
    boxes = sum(row["boxes"] for row in rows)
    say(f"finds torchvision's {boxes} boxes within {worst['largest_difference']:.1e} pixels")
    return rows


def _run(whole: FasterRCNN, values: Tensor, score: float) -> dict[str, Tensor]:
    usual, whole.roi_heads.score_thresh = whole.roi_heads.score_thresh, score
    try:
        with torch.inference_mode():
            found: dict[str, Tensor] = whole([values])[0]
    finally:
        whole.roi_heads.score_thresh = usual
    return found


def _matched(expected: Mapping[str, Tensor], found: Any, name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Look up every box of torchvision's among those found."""
    far, scores, missing = 0.0, 0.0, 0
    for box, score, label in zip(*(expected[key].numpy() for key in ("boxes", "scores", "labels")), strict=True):
        pixels = np.abs(found.xyxy - box).max(axis=1, initial=0)
        others = np.abs(found.conf - score)
        alike = (found.cls == label) & (others < _CLOSE_SCORE) & (pixels < _CLOSE_PIXELS)
        if not alike.any():
            missing += 1
            continue
        best = np.flatnonzero(alike)[pixels[alike].argmin()]
        far, scores = max(far, float(pixels[best])), max(scores, float(others[best]))
    count = len(expected["scores"])
    where = f"boxes on {name} at {size[0]} x {size[1]}"
    if not count:
        raise AccuracyError(
            f"{where}: torchvision finds none at any score, which proves nothing; are these weights real?"
        )
    if missing > (1 - _AGREEMENT) * count or abs(len(found) - count) > (1 - _AGREEMENT) * count:
        raise AccuracyError(f"{where}: {missing} of torchvision's {count} are not among the {len(found)} found")
    return {
        "set": "parity with torchvision",
        "output": "boxes",
        "picture": name,
        "size": list(size),
        "boxes": count,
        "missing": missing,
        "largest_difference": far,
        "largest_score_difference": scores,
    }
