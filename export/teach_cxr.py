"""Let a model enlarge windows of training radiographs: what it answers, another network learns from.

``python -m export.teach_cxr --data DIR --teacher cxr-x4 --out taught.npz``, then ``export.recipes.cxr --taught``. The
truth that a network is trained on is three quarters chance, which no network can know; a good network's answer is
without it. The teacher sees no noise, whatever its pupil will see.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import trange

import edgesr
from edgesr.pipelines.restore import Restorer
from export.data.xray import CropSampler, Mixture, read_folder
from export.models.resample import DEGRADATIONS, SCALE

SIDE = 56
"""Low-resolution side of a window: with the margin of its downscaler it fits pictures of 256 pixels."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with cxr/train (512 px NIH PNGs)")
    parser.add_argument("--teacher", default="cxr-x4", help="a name, a package, or an ONNX file of a x4 network")
    parser.add_argument("--tta", action="store_true", help="the teacher averages over flips and rotations")
    parser.add_argument("--windows", type=int, default=6000)
    parser.add_argument(
        "--degradations", type=float, nargs=3, default=Mixture().degradations, metavar=("CUBIC", "AREA", "ANTIALIASED")
    )
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    mixture = replace(Mixture(), degradations=tuple(arguments.degradations), noisy=0.0)
    sampler = CropSampler(read_folder(arguments.data / "cxr" / "train").values(), mixture, arguments.seed)
    with edgesr.load(arguments.teacher, "cpu", threads=arguments.threads, tta=arguments.tta) as teacher:
        windows = teach(teacher, sampler, arguments.windows)
    np.savez(arguments.out, **windows)
    print(f"{arguments.out}: {arguments.windows} windows, {arguments.out.stat().st_size / 2**20:.0f} MiB")


def teach(teacher: Restorer, sampler: CropSampler, count: int) -> dict[str, np.ndarray]:
    """Return ``low`` and ``high`` (uint8), ``taught`` (float16 in [0, 1]) and ``kinds`` of ``count`` windows.

    A teacher with such dials is told the downscaler and answers with its mean, before it is made consistent.
    """
    high_side = SIDE * SCALE
    windows = {
        "low": np.empty((count, SIDE, SIDE), np.uint8),
        "high": np.empty((count, high_side, high_side), np.uint8),
        "taught": np.empty((count, high_side, high_side), np.float16),
        "kinds": np.empty(count, np.int64),
    }
    known = teacher.descriptor.controls
    for index in trange(count, unit="window", mininterval=10):
        low, high, kinds = sampler.batch(1, SIDE)
        dials = {"fidelity": 1.0, "consistency": 0.0, "degradation": DEGRADATIONS[int(kinds[0])]}
        windows["low"][index] = np.rint(low[0, 0].numpy() * 255)
        windows["high"][index] = np.rint(high[0, 0].numpy() * 255)
        windows["taught"][index] = teacher(low[0, 0].numpy(), **{k: v for k, v in dials.items() if k in known})
        windows["kinds"][index] = kinds[0]
    return windows


if __name__ == "__main__":
    main()
