"""Choose the projection of a latent diffusion and calibrate its error bound, on patients it was not trained on.

``python -m export.calibrate_diffusion PACKAGE --data DIR --lpips DIR --out calibration.json``. The package is one of
``edgesr pack``, as yet without ``uncertainty``. Everything is measured through the runtime, at the package's defaults.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import edgesr
from edgesr.image.backproject import PROJECTIONS, back_project
from edgesr.image.measurement import Bounds, residual
from edgesr.image.noise import noise_level
from edgesr.model import ErrorLink
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.linked import BLUR, error_scale, noise_growth
from export import metrics
from export.calibrate_cxr import PIXELS, conformal_factor, cross_coverage
from export.data.degradations import downscale
from export.evaluation import Case, cases
from export.lpips import Lpips

ROUNDING = 0.25 / 255
"""Mean error of a perfect picture: what rounding to grey levels leaves. It keeps the fit off the logarithm of zero."""
PIXELS_APART = 7
"""Every n-th pixel is fitted; neighbours tell the same."""
SPLITS = 20
USUAL = 0.95
"""Share of the calibration pictures whose noise is taken for usual."""


@dataclass(frozen=True)
class Drawn:
    """One picture with the mean and the deviation of its samples, in [0, 1], and the absolute error of the mean."""

    patient: str
    mean: np.ndarray
    deviation: np.ndarray
    error: np.ndarray
    low: np.ndarray
    """What it was made of, ``(h, w)`` in [0, 1]."""

    def scale(self, link: ErrorLink) -> np.ndarray:
        """Return what the link predicts, ``(H, W)``."""
        growth = noise_growth(self.low[..., None], link)
        return np.float32(growth) * error_scale(self.mean[..., None], self.deviation, link)


def compare_projections(
    diffusion: LatentDiffusion, chosen: list[Case], lpips: Lpips
) -> tuple[str, dict[str, dict[str, float]]]:
    """Return the projection of highest PSNR, and the mean scores of each and of none.

    ``worst`` is the largest loss of PSNR on any picture, in decibels.
    """
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ("none", *PROJECTIONS)}
    for case in chosen:
        low = downscale(case.high, "cubic")
        raw = diffusion(low.astype(np.float32) / 255, consistency="off")
        for name, scored in rows.items():
            image = raw
            if name != "none":
                bounds = Bounds.of(low[..., None])
                image = back_project(raw[..., None].copy(), bounds, 4, "cubic", projection=name)[..., 0]
            scored.append(_scores(image, low, case.high, lpips))
    table = {
        name: {key: float(np.mean([row[key] for row in found])) for key in found[0]} for name, found in rows.items()
    }
    for name, found in rows.items():
        pairs = zip(found, rows["none"], strict=True)
        table[name]["worst"] = max(before["exact_psnr"] - after["exact_psnr"] for after, before in pairs)
    return max(PROJECTIONS, key=lambda name: table[name]["psnr"]), table


@torch.no_grad()
def _scores(image: np.ndarray, low: np.ndarray, high: np.ndarray, lpips: Lpips) -> dict[str, float]:
    stored = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    pair = (torch.from_numpy(p)[None, None].float() / 255 for p in (stored, high))
    return {
        "psnr": metrics.psnr(stored, high),
        "exact_psnr": float(-10 * np.log10(np.mean(np.square(image.astype(np.float64) - high / 255.0)))),
        "ssim": metrics.ssim(stored, high),
        "lpips": float(lpips(*pair)),
        "residual": residual(stored[..., None], low[..., None], 4, ("cubic",)),
    }


def draw(diffusion: LatentDiffusion, chosen: list[Case], samples: int) -> list[Drawn]:
    """Run the package on every picture."""
    drawn = []
    for case in chosen:
        low = downscale(case.high, "cubic")
        result = diffusion.restore(low, uncertainty=True, samples=samples)
        mean = result.image.astype(np.float32) / 255
        error = np.abs(result.image.astype(np.float32) - case.high) / 255
        drawn.append(Drawn(case.patient, mean, result.std, error, low.astype(np.float32) / 255))
    return drawn


def fit(drawn: list[Drawn], window: int = 5, floor: float = 0.001) -> ErrorLink:
    """Return the link under whose Laplace distributions the errors are most likely, the samples' spread left out.

    Its noise is that of all but the noisiest of these pictures.
    """
    plain = ErrorLink(0.0, 1.0, window, floor)
    detail = np.concatenate(
        [np.log(error_scale(d.mean[..., None], None, plain)).ravel()[::PIXELS_APART] for d in drawn]
    )
    errors = np.concatenate([d.error.ravel()[::PIXELS_APART] for d in drawn]) + ROUNDING

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale = values[0] + values[1] * detail
        ratio = errors * np.exp(-scale)
        return float((scale + ratio).mean()), np.array([(1 - ratio).mean(), ((1 - ratio) * detail).mean()])

    offset, exponent = minimize(loss, np.array([-3.0, 0.3]), jac=True, method="BFGS").x
    noise = float(np.quantile([noise_level(d.low[..., None]) for d in drawn], USUAL))
    return ErrorLink(round(float(offset), 4), round(float(exponent), 4), window, floor, round(noise, 6) or None)


def judge(link: ErrorLink, factor: float, drawn: list[Drawn]) -> dict[str, float]:
    """Return how well a link and a factor hold on pictures they were not made from."""
    scales = [d.scale(link) for d in drawn]
    inside = [float((d.error <= factor * scale).mean()) for d, scale in zip(drawn, scales, strict=True)]
    pairs = list(zip(scales, drawn, strict=True))
    return {
        "rank_correlation": float(np.mean([metrics.block_rank_correlation(s, d.error) for s, d in pairs])),
        "pixels_inside": float(np.mean(inside)),
        "pictures_inside": float(np.mean([share >= PIXELS for share in inside])),
        "half_width": float(np.mean([255 * factor * s.mean() for s in scales])),
    }


def factors(link: ErrorLink, drawn: list[Drawn]) -> list[tuple[str, float]]:
    """Return per picture the patient and the factor that covers `PIXELS` of its pixels."""
    return [(d.patient, float(np.quantile(d.error / d.scale(link), PIXELS))) for d in drawn]


def marginal_factor(link: ErrorLink, drawn: list[Drawn]) -> float:
    """Return the factor that covers `PIXELS` of all pixels together."""
    ratios = np.concatenate([(d.error / d.scale(link)).ravel()[::PIXELS_APART] for d in drawn])
    return float(np.quantile(ratios, PIXELS))


def halves(drawn: list[Drawn], splits: int = SPLITS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Fit link and factors on half of the patients, judge on the others, many times; return means over the splits."""
    random = np.random.default_rng(seed)
    patients = np.unique([d.patient for d in drawn])
    rows: dict[str, list[dict[str, float]]] = {"bound": [], "interval": []}
    for _ in range(splits):
        first = set(random.permutation(patients)[: len(patients) // 2])
        known, unseen = ([d for d in drawn if (d.patient in first) == side] for side in (True, False))
        link = fit(known)
        strict = conformal_factor(np.array([value for _, value in factors(link, known)]))
        rows["bound"].append(judge(link, strict, unseen))
        rows["interval"].append(judge(link, marginal_factor(link, known), unseen))
    return {name: _mean(found) for name, found in rows.items()}


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", help="of edgesr pack")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=4, help="drawn of each picture for the bound")
    parser.add_argument("--stride", type=int, default=1, help="use every n-th picture")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    held_out = list(cases(arguments.data, "nih-256", arguments.stride))
    elsewhere = list(cases(arguments.data, "hannover-256", 3 * arguments.stride))
    with edgesr.load(arguments.package, device="cpu", threads=arguments.threads) as diffusion:
        projection, projections = compare_projections(diffusion, held_out, Lpips("alex", arguments.lpips))
        drawn = draw(diffusion, held_out, arguments.samples)
        others = draw(diffusion, elsewhere, arguments.samples)
    link = fit(drawn)
    values = factors(link, drawn)
    factor = conformal_factor(np.array([value for _, value in values]))
    spread = [metrics.block_rank_correlation(d.deviation, d.error) for d in drawn]
    facts = {
        "projection": projection,
        "projections": projections,
        "samples": arguments.samples,
        "blur": BLUR,
        "link": asdict(link),
        "factor": factor,
        "pictures": len(drawn),
        "patients": len({d.patient for d in drawn}),
        "coverage": cross_coverage(values),
        "unseen patients": halves(drawn),
        "other institution": judge(link, factor, others),
        "other institution without noise": judge(replace(link, noise=None), factor, others),
        "noisier elsewhere": float(np.mean([noise_growth(d.low[..., None], link) > 1 for d in others])),
        "other pictures": len(others),
        "rank correlation of the deviation alone": float(np.mean(spread)),
    }
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
