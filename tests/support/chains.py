"""A restoration in front of a task, as two engines and as one graph, at the papers' sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgesr.cli import main as edgesr
from edgesr.pipelines.label_result import Classification, Detections, Segmentation
from edgesr.pipelines.load import load
from export.__main__ import main as export
from tests.export.seeded import enlarging, fitted
from tests.support.families import RESTORATIONS, Family
from tests.support.labels import LABELS, LabelFamily, deeplab, resnet
from tests.support.pictures import crop_tensor, crops
from tests.support.prove_labels import prove_labels
from tests.support.steps import Rows, Said, called, digest, write_weights


@dataclass(frozen=True)
class ChainFamily:
    """Two networks, and whether they become one graph."""

    title: str
    restore: Family
    task: LabelFamily
    is_fused: bool
    side: int
    """Of the pictures before the restoration."""
    count: int
    """Of the pictures that the task is fitted to; a class of none of them would have an overlap of 0 or 1 by chance."""
    weights: str
    """In what they differ from drawn ones."""
    is_sized: bool = False
    """Whether the task takes any size, so that ``side`` says what it is compiled for."""

    def sources(self) -> str:
        """Return the sha256 of both architectures and of what joins them."""
        return self.restore.sources()[:8] + digest((*self.task.files, "../edgesr/pipelines/fuse_chain.py"))[:8]

    def prove(self, folder: Path, *, is_small: bool = False, say: Said = lambda text: None) -> dict[str, Any]:
        """Export both networks, join and measure them; there are no small ones.

        The task has the statistics of restored pictures, which a drawn restoration makes unlike all others.
        """
        rows: Rows = {"title": self.title, "sources": self.sources(), "weights": self.weights}
        package = folder / "fp32.edgesr"
        torch.manual_seed(0)
        network = enlarging(self.restore.build(is_small=is_small))
        first = write_weights(network, folder / "sr.pth")
        words = [*self.restore.words, "--weights", str(folder / "sr.pth"), "-o", str(folder / "sr.edgesr")]
        code, _, why = called(lambda: export(words))
        other, second = self.task.package(folder / "task.edgesr", say, _restored(network, self.side, self.count))
        why = (why if code else "") or other or self._join(folder, package, fused=False)
        if self.is_fused and not why:
            chain = folder / "two.edgesr"
            package.rename(chain)
            why = self._join(folder, package, fused=True)
        rows["parameters"] = first + second
        if why:
            return {**rows, "export": {"ok": False, "why": why}}
        if self.is_fused:
            say("one graph against two engines")
            rows["equal"] = _equal(chain, package, self.side)
        return prove_labels(rows, package, folder, side=self.side, agreement=self.task.agreement, say=say)

    def _join(self, folder: Path, output: Path, *, fused: bool) -> str:
        both = f"{folder / 'sr.edgesr'}+{folder / 'task.edgesr'}"
        words = ["--fused"] if fused else []
        words += ["--size", f"{self.side}x{self.side}"] if fused or self.is_sized else []
        code, _, told = called(lambda: edgesr(["pack", both, "-o", str(output), *words]))
        return told if code else ""


def _restored(network: nn.Module, side: int, count: int) -> Tensor:
    """Return what the restoration makes of crops of the examples, one at a time: float32 in [0, 1]."""
    with torch.inference_mode():
        found = [network(one).clamp(0, 1) for one in crop_tensor(side, count).split(1)]
    return torch.cat(found).clone()


def _equal(chain: Path, fused: Path, side: int) -> Rows:
    """Compare what both say of one picture of floats, which two engines do not round in between."""
    picture = (crops(side, 2)[1] / 255).astype(np.float32)
    found = []
    for path in (chain, fused):
        with load(path, "cpu", threads=1) as label:
            found.append(label(picture))
    two, one = found
    if isinstance(two, Classification) and isinstance(one, Classification):
        apart = float(np.abs(two.scores - one.scores).max())
        return {"ok": apart < 1e-3, "figure": "largest difference of a score", "value": apart}
    if isinstance(two, Segmentation) and isinstance(one, Segmentation):
        scale = two.mask.shape[0] // one.mask.shape[0]
        same = float((two.mask[scale // 2 :: scale, scale // 2 :: scale] == one.mask).mean())
        return {"ok": same > 0.95, "figure": "share of pixels with the same class", "value": same}
    assert isinstance(two, Detections) and isinstance(one, Detections)
    scale = two.picture.shape[0] // side
    if len(two) != len(one):
        return {"ok": False, "why": f"{len(one)} boxes instead of {len(two)}"}
    apart = float(np.abs(two.xyxy / scale - one.xyxy).max(initial=0))
    same = bool((two.cls == one.cls).all()) and apart < 0.1
    return {"ok": same, "figure": f"largest distance in pixels of {len(one)} boxes", "value": apart}


_REPEATS = "the restoration repeats the pixels of its picture beside a fifth of what was drawn"
_SETTLED = "the task has the statistics of restored pictures"
_FITTED = f"{_SETTLED} and its last layer is fitted to tell them apart"
_TASKS = {
    "resnet18": ("ResNet18", replace(LABELS["resnet18"], make=partial(resnet, "resnet18", 200, end=fitted))),
    "deeplabv3": (
        "DeepLabV3-MobileNetV3",
        replace(
            LABELS["deeplabv3"],
            words=("deeplabv3", "--resize", "none"),
            make=partial(deeplab, end=fitted),
            seen=256,
        ),
    ),
    "fasterrcnn": ("Faster R-CNN", LABELS["fasterrcnn"]),
}
CHAINS = {
    f"{'fused' if is_fused else 'chain'}-{name}": ChainFamily(
        f"EDSR-baseline x4 + {shown}, {'one graph' if is_fused else 'two engines'}",
        RESTORATIONS["edsr"],
        task,
        is_fused,
        side,
        8 if name == "resnet18" else 4,
        f"{_REPEATS}; {_FITTED if name != 'fasterrcnn' else _SETTLED}",
        is_sized=name == "deeplabv3",
    )
    for name, side in (("resnet18", 64), ("deeplabv3", 64), ("fasterrcnn", 80))
    for is_fused in (False, True)
    for shown, task in (_TASKS[name],)
}
"""Sides times the scale are what the task takes, or what it is resized to."""
