"""Choose the projection of a latent diffusion and calibrate its error bound, on patients it was not trained on.

``python -m export.calibrate_diffusion PACKAGE --data DIR --lpips DIR --out calibration.json``. The package is one of
``edgesr pack``, as yet without ``uncertainty``. Everything is measured through the runtime, at the package's defaults.
"""

import argparse
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import edgesr
from edgesr.image.backproject import PROJECTIONS, back_project
from edgesr.image.measurement import Bounds, residual
from edgesr.image.noise import noise_level
from edgesr.model import ErrorLink, NoiseRule
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.linked import BLUR, error_scale
from export import metrics
from export.data.degradations import downscale
from export.error_bound import NOISES, PIXELS, Predicted, add_noise, cross_coverage, fit_bound
from export.evaluation import Case, cases
from export.lpips import Lpips

ROUNDING = 0.25 / 255
"""Mean error of a perfect picture: what rounding to grey levels leaves. It keeps the fit off the logarithm of zero."""
PIXELS_APART = 7
"""Every n-th pixel is fitted; neighbours tell the same."""
SPLITS = 20
KERNEL = "cubic"
NOISY_STRIDE = 6
"""Every n-th picture is drawn with noise, too."""


@dataclass(frozen=True)
class Drawn:
    """One picture with the mean and the deviation of its samples, in [0, 1], and the absolute error of the mean."""

    patient: str
    mean: np.ndarray
    deviation: np.ndarray
    error: np.ndarray
    noise: float
    """Noise of what it was made of (`edgesr.image.noise`)."""

    def predicted(self, link: ErrorLink) -> Predicted:
        """Return the scale that the link predicts, beside the error."""
        scale = error_scale(self.mean[..., None], self.deviation, link)
        return Predicted(self.patient, self.noise, {KERNEL: 1.0}, self.error, scale)


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


def draw(diffusion: LatentDiffusion, chosen: list[Case], samples: int, noise: float = 0.0) -> list[Drawn]:
    """Run the package on every picture, with white noise of a deviation of ``noise`` grey levels if any."""
    drawn = []
    for case in chosen:
        high = add_noise(case.high, noise, zlib.crc32(case.name.encode())) if noise else case.high
        low = downscale(high, KERNEL)
        result = diffusion.restore(low, uncertainty=True, samples=samples)
        mean = result.image.astype(np.float32) / 255
        error = np.abs(result.image.astype(np.float32) - high) / 255
        drawn.append(Drawn(case.patient, mean, result.std, error, noise_level(low[..., None])))
    return drawn


def fit(drawn: list[Drawn], window: int = 5, floor: float = 0.001) -> ErrorLink:
    """Return the link under whose Laplace distributions the errors are most likely, the samples' spread left out."""
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
    return ErrorLink(round(float(offset), 4), round(float(exponent), 4), window, floor)


@dataclass(frozen=True)
class Calibrated:
    """A link with the factor and the noise rules of its bound."""

    link: ErrorLink
    factor: float
    rules: Mapping[str, NoiseRule]

    @classmethod
    def of(cls, drawn: list[Drawn], noisy: list[Drawn]) -> "Calibrated":
        """Fit all three on pictures and on some of them with noise."""
        link = fit(drawn)
        clean, noised = ([d.predicted(link) for d in found] for found in (drawn, noisy))
        return cls(link, *fit_bound({KERNEL: clean}, {KERNEL: noised}))

    def judge(self, drawn: list[Drawn]) -> dict[str, float]:
        """Return how well it holds on pictures it was not made from."""
        made = [d.predicted(self.link) for d in drawn]
        scales = [one.widened(self.rules) for one in made]
        pairs = list(zip(made, scales, strict=True))
        inside = [one.inside(self.factor, self.rules) for one in made]
        return {
            "rank_correlation": float(np.mean([metrics.block_rank_correlation(s, one.error) for one, s in pairs])),
            "pixels_inside": float(np.mean(inside)),
            "pictures_inside": float(np.mean([share >= PIXELS for share in inside])),
            "half_width": float(np.mean([255 * self.factor * s.mean() for s in scales])),
        }

    def factors(self, drawn: list[Drawn]) -> list[tuple[str, float]]:
        """Return per picture the patient and the factor that covers `PIXELS` of its pixels."""
        return [(d.patient, d.predicted(self.link).factor(self.rules)) for d in drawn]

    def marginal(self, drawn: list[Drawn]) -> "Calibrated":
        """Return the same with the factor that covers `PIXELS` of all pixels together."""
        made = [d.predicted(self.link) for d in drawn]
        ratios = np.concatenate([(one.error / one.widened(self.rules)).ravel()[::PIXELS_APART] for one in made])
        return replace(self, factor=float(np.quantile(ratios, PIXELS)))


def halves(drawn: list[Drawn], noisy: list[Drawn], splits: int = SPLITS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Calibrate on half of the patients, judge on the others, many times; return means over the splits."""
    random = np.random.default_rng(seed)
    patients = np.unique([d.patient for d in drawn])
    rows: dict[str, list[dict[str, float]]] = {"bound": [], "interval": []}
    for _ in range(splits):
        first = set(random.permutation(patients)[: len(patients) // 2])
        known, unseen = ([d for d in drawn if (d.patient in first) == side] for side in (True, False))
        bound = Calibrated.of(known, [d for d in noisy if d.patient in first])
        rows["bound"].append(bound.judge(unseen))
        rows["interval"].append(bound.marginal(known).judge(unseen))
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
    finer = list(cases(arguments.data, "nih-1024-256", arguments.stride))
    elsewhere = list(cases(arguments.data, "hannover-256", arguments.stride))
    with edgesr.load(arguments.package, device="cpu", threads=arguments.threads) as diffusion:
        if diffusion.descriptor.uncertainty is not None:
            parser.error(f"{arguments.package} has a bound already; give it as edgesr pack makes it")
        projection, projections = compare_projections(diffusion, held_out, Lpips("alex", arguments.lpips))
        drawn = draw(diffusion, [*held_out, *finer], arguments.samples)
        noisy = [d for noise in NOISES for d in draw(diffusion, held_out[::NOISY_STRIDE], arguments.samples, noise)]
        others = draw(diffusion, elsewhere, arguments.samples)
    bound = Calibrated.of(drawn, noisy)
    spread = [metrics.block_rank_correlation(d.deviation, d.error) for d in drawn]
    facts = {
        "projection": projection,
        "projections": projections,
        "samples": arguments.samples,
        "blur": BLUR,
        "link": asdict(bound.link),
        "noise": {kernel: asdict(rule) for kernel, rule in bound.rules.items()},
        "factor": bound.factor,
        "pictures": len(drawn),
        "patients": len({d.patient for d in drawn}),
        "coverage": cross_coverage({KERNEL: bound.factors(drawn)}),
        "unseen patients": halves(drawn, noisy),
        "other institution": bound.judge(others),
        "other institution without noise": replace(bound, rules={}).judge(others),
        "other pictures": len(others),
        "rank correlation of the deviation alone": float(np.mean(spread)),
    }
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
