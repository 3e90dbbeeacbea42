"""Pictures, groups and scores by which the exported X-ray graphs are judged, through ONNX Runtime."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch

from edgesr.image.noise import noise_level
from edgesr.model import NoiseRule
from edgesr.pipelines.estimate import estimate_shares
from edgesr.pipelines.noisy import noise_scale, widen
from export import metrics
from export.data.degradations import bicubic, downscale
from export.data.xray import read_grey
from export.graph_cxr import run
from export.lpips import Lpips


@dataclass(frozen=True)
class PictureSet:
    """Where held-out pictures lie and how they become high and low; ``side`` None keeps the high resolution."""

    folder: str
    side: int | None
    degradations: tuple[str, ...]
    antialiased: bool = False
    """Whether the high resolution itself is made by area means instead of cv2 cubic."""


SETS = {
    "nih-256": PictureSet("cxr/val", 256, ("cubic", "area", "antialiased")),
    "nih-256-antialiased": PictureSet("cxr/val", 256, ("cubic", "antialiased"), antialiased=True),
    "nih-512": PictureSet("cxr/val", None, ("cubic", "antialiased")),
    "nih-1024-256": PictureSet("cxr/val_1024", 256, ("cubic", "area", "antialiased")),
    "hannover-256": PictureSet("cxr_hannover", 256, ("cubic", "area", "antialiased")),
}
"""NIH ChestX-ray14 validation patients and, as another institution, the Hannover COVID-19 pictures."""


@dataclass(frozen=True)
class Case:
    """One held-out picture: uint8 high resolution, and whom it shows."""

    name: str
    patient: str
    sex: str
    view: str
    high: np.ndarray


class Judge:
    """Score enlarged pictures against the truth; LPIPS (alex) is left out where ``lpips`` is None."""

    def __init__(self, lpips: Path | None) -> None:
        self._lpips = None if lpips is None else Lpips("alex", lpips)

    @torch.no_grad()
    def scores(self, image: np.ndarray, baseline: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
        """Take uint8 pictures; return every figure of the tables for ``image``."""
        scores = {
            "psnr": metrics.psnr(image, high),
            "ssim": metrics.ssim(image, high),
            "grid_index": metrics.grid_index(image),
            "measurement_rms": measurement_rms(image, low),
        }
        if image is not baseline:
            scores["detail_precision"] = metrics.detail_precision(image, baseline, high)
        if self._lpips is not None:
            first, second = (torch.from_numpy(p)[None, None].float() / 255 for p in (image, high))
            scores["lpips"] = float(self._lpips(first, second))
        return scores


def paths(data: Path, name: str) -> list[Path]:
    """Return the files of one of `SETS`, in order."""
    return sorted((data / SETS[name].folder).glob("*.png"))


def cases(data: Path, name: str, stride: int = 1) -> Iterator[Case]:
    """Read the pictures of one of `SETS`, with patient, sex and view from ``cxr_labels.csv``."""
    chosen = SETS[name]
    with (data / "cxr_labels.csv").open(newline="") as file:
        labels = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    for path in paths(data, name)[::stride]:
        row = labels.get(path.name, {})
        high = read_grey(path)
        if chosen.side:
            interpolation = cv2.INTER_AREA if chosen.antialiased else cv2.INTER_CUBIC
            high = cv2.resize(high, (chosen.side, chosen.side), interpolation=interpolation)
        high = high[: high.shape[0] // 4 * 4, : high.shape[1] // 4 * 4]
        yield Case(path.name, row.get("patient", path.name), row.get("sex", ""), row.get("view", ""), high)


class Enlarger:
    """An exported graph on the CPU, with the estimator that tells it how a picture was made small.

    ``noise`` are the rules by which a noisy picture gets a larger error scale; none while they are not known.
    """

    def __init__(
        self,
        network: Path,
        estimator: Mapping[str, Any],
        threads: int = 2,
        noise: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
        self._estimator = estimator
        self._noise = {kernel: NoiseRule(**rule) for kernel, rule in (noise or {}).items()}

    def shares(self, low: np.ndarray) -> dict[str, float]:
        """Return how much of a uint8 picture is taken for the work of each downscaler."""
        return estimate_shares(self._estimator, low[..., None]) or {"cubic": 1.0, "area": 0.0, "antialiased": 0.0}

    def __call__(self, low: np.ndarray, fidelity: float) -> tuple[np.ndarray, np.ndarray]:
        """Enlarge a uint8 picture; return it as uint8, and the predicted error scale in grey levels of 255."""
        shares = self.shares(low)
        upscaled, scale = run(
            self._session, low / 255, fidelity=fidelity, quantum=1 / 255, degradation=tuple(shares.values())
        )
        scale = widen(scale, noise_scale(self._noise, shares, noise_level(low[..., None])))
        return np.rint(upscaled * 255).astype(np.uint8), scale * 255


def measurement_rms(image: np.ndarray, low: np.ndarray) -> float:
    """Return how far the picture, shrunk by cv2 cubic and clipped, is from the measured one: RMS in grey levels."""
    shrunk = cv2.resize(image.astype(np.float32), low.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return float(np.sqrt(np.square(np.clip(shrunk, 0, 255) - low).mean()))


def baseline_and_low(high: np.ndarray, degradation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the low resolution of a picture and its bicubic enlargement, both uint8."""
    low = downscale(high, degradation)
    return low, bicubic(low)
