"""Quick validation during training, on a fixed part of the NIH validation patients."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from export import metrics
from export.data.degradations import bicubic, downscale
from export.data.xray import read_folder
from export.lpips import Lpips
from export.models.cxr import CxrSuperResolution
from export.models.resample import DEGRADATIONS


class Validator:
    """Score a network on 256 px pictures: 16 reduced from 512 px, 8 straight from 1024 px, all cv2 cubic."""

    def __init__(self, data: Path, lpips: Path) -> None:
        pictures = list(read_folder(data / "cxr" / "val").values())[::6][:16]
        pictures += list(read_folder(data / "cxr" / "val_1024").values())[::3][:8]
        self._high = [cv2.resize(p, (256, 256), interpolation=cv2.INTER_CUBIC) for p in pictures]
        self._cubic = [downscale(p, "cubic") for p in self._high]
        self._antialiased = [downscale(p, "antialiased") for p in self._high]
        self._bicubic = [bicubic(p) for p in self._cubic]
        self._lpips = Lpips("alex", lpips)
        self._baseline = self._quality(self._bicubic)
        self._antialiased_baseline = self._quality([bicubic(p) for p in self._antialiased])["psnr"]

    @torch.no_grad()
    def scores(self, network: CxrSuperResolution, picture: Path) -> dict[str, float]:
        """Return gains over bicubic at three settings of the dial; write a side-by-side ``picture``."""
        results: dict[str, float] = {}
        columns = [self._bicubic[0]]
        for fidelity in (1.0, 0.4, 0.2):
            images = [self._run(network, low, "cubic", fidelity) for low in self._cubic]
            columns.append(images[0])
            quality = self._quality(images)
            for name in ("psnr", "ssim"):
                results[f"{name}@{fidelity:g}"] = quality[name] - self._baseline[name]
            results[f"lpips@{fidelity:g}"] = quality["lpips"] / self._baseline["lpips"]
            results[f"grid@{fidelity:g}"] = quality["grid"]
            results[f"precision@{fidelity:g}"] = quality["precision"]
        antialiased = [self._run(network, low, "antialiased", 1.0) for low in self._antialiased]
        results["antialiased psnr@1"] = self._quality(antialiased)["psnr"] - self._antialiased_baseline
        row = np.hstack([np.clip(np.rint(c), 0, 255) for c in [*columns, self._high[0]]])
        cv2.imwrite(str(picture), row.astype(np.uint8))
        return results

    def _quality(self, images: list[np.ndarray]) -> dict[str, float]:
        pairs = list(zip(images, self._high, strict=True))
        precisions = [metrics.detail_precision(a, b, t) for (a, t), b in zip(pairs, self._bicubic, strict=True)]
        return {
            "psnr": float(np.mean([metrics.psnr(a, t) for a, t in pairs])),
            "ssim": float(np.mean([metrics.ssim(a, t) for a, t in pairs])),
            "lpips": float(self._lpips(_batch(images), _batch(self._high)).mean()),
            "grid": float(np.mean([metrics.grid_index(a) for a in images])),
            "precision": float(np.mean(precisions)),
        }

    @staticmethod
    def _run(network: CxrSuperResolution, low: np.ndarray, degradation: str, fidelity: float) -> np.ndarray:
        shares = torch.tensor([float(name == degradation) for name in DEGRADATIONS])
        dials = torch.tensor([fidelity]), shares, torch.ones(1), torch.tensor([1 / 255])
        return network(_batch([low]), *dials)[0][0, 0].numpy() * 255


def _batch(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images))[:, None].float() / 255
