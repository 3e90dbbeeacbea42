"""Write what other implementations say about two pictures: ``python -m tests.bench.metrics.golden``.

Needs torch, pytorch-msssim and piq. The pictures are made of numbers, so that only the answers are kept.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[2] / "data" / "quality_metrics.json"
CASES = {"grey": (192, 208, 1), "color": (176, 192, 3), "large": (256, 320, 1)}


def pictures(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a uint8 picture and a damaged copy, ``(H, W, C)``."""
    height, width, channels = CASES[name]
    random = np.random.default_rng(len(name))
    y, x = np.mgrid[:height, :width] / 255
    waves = [np.sin((3 + 5 * k) * x + 2 * k) * np.cos((4 + 3 * k) * y - k) for k in range(channels)]
    smooth = 120 + 70 * np.stack(waves, axis=2) + 40 * (np.hypot(x - 0.3, y - 0.4) < 0.2)[..., None]
    reference = np.clip(np.rint(smooth + random.normal(0, 6, smooth.shape)), 0, 255).astype(np.uint8)
    soft = (reference.astype(float) + np.roll(reference, 1, 0) + np.roll(reference, 1, 1)) / 3
    image = np.clip(np.rint(soft + random.normal(0, 9, soft.shape)), 0, 255).astype(np.uint8)
    return image, reference


def main() -> None:
    """Compute and write the answers."""
    import piq
    import torch
    from pytorch_msssim import ms_ssim, ssim

    distance = torch.arange(11, dtype=torch.float64) - 5
    taps = torch.exp(-(distance**2) / (2 * 1.5**2))
    window = (taps / taps.sum())[None, None, None]  # theirs is rounded to float32, which moves SSIM by 7e-6

    answers = {}
    for name in CASES:
        first, second = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in pictures(name))
        scaled = (first / 255, second / 255)
        of_all = window.repeat(first.shape[1], 1, 1, 1)
        answers[name] = {
            "ssim": ssim(first, second, data_range=255, win=of_all).item(),
            "ms_ssim": ms_ssim(first, second, data_range=255, win=of_all).item(),
        }
        if first.shape[1] == 1:
            answers[name]["gmsd"] = piq.gmsd(*scaled, data_range=1.0).item()
    packages = ("torch", "pytorch-msssim", "piq")
    document = {"made_with": {package: version(package) for package in packages}, "answers": answers}
    FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
