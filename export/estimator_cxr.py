"""Fit what tells a model how its input was made small: ``python -m export.estimator_cxr --data DIR --out FILE``.

Multinomial logistic regression on `edgesr.image.bands.band_energies`, a few numbers that travel in model.json. A whole
picture decides: the network itself sees a few pixels at a time and cannot tell.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional

from edgesr.image.bands import band_energies
from export.data.degradations import downscale
from export.data.xray import read_folder
from export.models.resample import DEGRADATIONS

SETS = {"NIH validation": "cxr/val", "Hannover": "cxr_hannover"}
SEED = 20261121


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with cxr/train, cxr/val and cxr_hannover")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the estimator and its confusions")
    arguments = parser.parse_args()
    random = np.random.default_rng(SEED)
    estimator = fit(*_table(_training_pictures(read_folder(arguments.data / "cxr" / "train").values(), random)))
    confusions = {
        name: _confusions(estimator, _table(_whole_pictures(read_folder(arguments.data / folder).values())))
        for name, folder in SETS.items()
    }
    arguments.out.write_text(json.dumps({"estimator": estimator, "confusions": confusions}, indent=1) + "\n")
    for name, table in confusions.items():
        print(name, table)


def fit(energies: np.ndarray, kinds: np.ndarray) -> dict[str, Any]:
    """Return ``kernels``, ``mean``, ``deviation`` of the energies, ``weights`` ``(3, bands)`` and ``bias`` ``(3,)``."""
    mean, deviation = energies.mean(0), energies.std(0)
    inputs = torch.from_numpy((energies - mean) / deviation)
    targets = torch.from_numpy(kinds)
    linear = torch.nn.Linear(inputs.shape[1], len(DEGRADATIONS), dtype=torch.float64)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(linear(inputs), targets) + 1e-4 * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return {
        "kernels": list(DEGRADATIONS),
        "mean": mean.round(5).tolist(),
        "deviation": deviation.round(5).tolist(),
        "weights": linear.weight.detach().numpy().round(5).tolist(),
        "bias": linear.bias.detach().numpy().round(5).tolist(),
    }


def _confusions(estimator: dict[str, Any], table: tuple[np.ndarray, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return, per true downscaler, the share of pictures for which each downscaler is found most likely."""
    energies, kinds = table
    normal = (energies - estimator["mean"]) / estimator["deviation"]
    found = (normal @ np.transpose(estimator["weights"]) + estimator["bias"]).argmax(1)
    return {
        true: {other: round(float((found[kinds == i] == j).mean()), 4) for j, other in enumerate(DEGRADATIONS)}
        for i, true in enumerate(DEGRADATIONS)
    }


def _table(pictures: Iterator[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    rows = [(energies, kind) for low, kind in pictures if (energies := band_energies(low[..., None])) is not None]
    return np.stack([energies for energies, _ in rows]), np.array([kind for _, kind in rows])


def _whole_pictures(native: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
    for picture in native:
        for high in _sizes(picture):
            for kind, name in enumerate(DEGRADATIONS):
                yield downscale(high, name), kind


def _training_pictures(native: Iterable[np.ndarray], random: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    """Yield every picture whole, a tenth of them noisy, and a random part of it."""
    for low, kind in _whole_pictures(native):
        noisy = low
        if random.random() < 0.1:
            noisy = np.clip(np.rint(low + random.normal(0, random.uniform(0, 2), low.shape)), 0, 255).astype(np.uint8)
        yield noisy, kind
        h, w = (int(random.integers(32, side + 1)) for side in low.shape)
        y, x = (int(random.integers(full - part + 1)) for full, part in zip(low.shape, (h, w), strict=True))
        yield low[y : y + h, x : x + w], kind


def _sizes(picture: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the picture at 256 px, reduced in two ways, and at its own size, cut to multiples of four."""
    yield cv2.resize(picture, (256, 256), interpolation=cv2.INTER_CUBIC)
    yield cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    h, w = (side // 4 * 4 for side in picture.shape)
    yield picture[:h, :w]


if __name__ == "__main__":
    main()
