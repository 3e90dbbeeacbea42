"""The factor and the noise rules of an error bound, from pictures whose errors are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgesr.model import NoiseRule
from edgesr.pipelines.noisy import noise_scale, widen

PIXELS = IMAGES = 0.9
"""The promise of the bound: this share of pixels inside on this share of pictures."""
NOISES = (2.0, 4.0, 6.0)
"""Standard deviations, in grey levels of 255, of the white noise that is added to pictures to see what it does."""
LARGEST_GROWTH = 100.0
_ROUNDS = 3


@dataclass(frozen=True)
class Predicted:
    """One picture made larger, with the scale that was predicted for its error; all in [0, 1]."""

    patient: str
    noise: float
    """Noise of the input (`edgesr.image.noise`)."""
    shares: Mapping[str, float]
    """Of the downscalers that may have made the input, as the runtime finds them."""
    error: np.ndarray
    scale: np.ndarray

    def widened(self, rules: Mapping[str, NoiseRule]) -> np.ndarray:
        """Return the scale as the rules make it."""
        return widen(self.scale, noise_scale(rules, self.shares, self.noise))

    def inside(self, factor: float, rules: Mapping[str, NoiseRule]) -> float:
        """Return the share of the pixels within the bound that a factor and rules make."""
        return float((self.error <= factor * self.widened(rules)).mean())

    def factor(self, rules: Mapping[str, NoiseRule]) -> float:
        """Return the factor that covers `PIXELS` of the pixels."""
        return float(np.quantile(self.error / self.widened(rules), PIXELS))


def add_noise(high: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """Return a uint8 picture with white noise of a ``deviation`` in grey levels, clipped and rounded."""
    noise = np.random.default_rng(seed).normal(0.0, deviation, high.shape)
    return np.clip(np.rint(high + noise), 0, 255).astype(np.uint8)


def fit_bound(
    clean: Mapping[str, Sequence[Predicted]], noisy: Mapping[str, Sequence[Predicted]]
) -> tuple[float, dict[str, NoiseRule]]:
    """Return the factor and the rules under which the promise holds, for every downscaler by itself.

    ``clean`` are the pictures of the calibration, ``noisy`` some of them with noise, both by the downscaler. Half of
    the clean ones have less noise than is ``usual``; ``growth`` is the least with which the factor that the clean ones
    need keeps the promise on the noisy ones.
    """
    usual = {kernel: float(np.median([picture.noise for picture in pictures])) for kernel, pictures in clean.items()}
    rules = {kernel: NoiseRule(level, 0.0) for kernel, level in usual.items()}
    factor = largest_factor(clean, rules)
    for _ in range(_ROUNDS):
        grown = {kernel: _growth(noisy[kernel], usual[kernel], factor) for kernel in clean}
        rules = {kernel: NoiseRule(round(usual[kernel], 6), round(grown[kernel], 3)) for kernel in clean}
        factor = largest_factor(clean, rules)
    return factor, rules


def largest_factor(clean: Mapping[str, Sequence[Predicted]], rules: Mapping[str, NoiseRule]) -> float:
    """Return the conformal factor of the downscaler that needs the largest."""
    return max(
        conformal_factor(np.array([picture.factor(rules) for picture in pictures])) for pictures in clean.values()
    )


def conformal_factor(factors: np.ndarray) -> float:
    """Return the split-conformal quantile: covers a new picture with probability `IMAGES`."""
    return float(np.sort(factors)[_rank(len(factors)) - 1])


def cross_coverage(
    factors: Mapping[str, Sequence[tuple[str, float]]], splits: int = 500, seed: int = 0
) -> dict[str, float]:
    """Calibrate on half of the patients, test on the others, many times; return the share of covered pictures.

    ``factors`` are, by downscaler, the patient and the factor of every picture.
    """
    random = np.random.default_rng(seed)
    owners = {kernel: np.array([owner for owner, _ in pairs]) for kernel, pairs in factors.items()}
    values = {kernel: np.array([value for _, value in pairs]) for kernel, pairs in factors.items()}
    patients = np.unique(np.concatenate(list(owners.values())))
    coverages = []
    for _ in range(splits):
        half = random.permutation(patients)[: len(patients) // 2]
        known = {kernel: np.isin(names, half) for kernel, names in owners.items()}
        factor = max(conformal_factor(values[kernel][inside]) for kernel, inside in known.items())
        unseen = np.concatenate([values[kernel][~inside] for kernel, inside in known.items()])
        coverages.append(float((unseen <= factor).mean()))
    low, high = np.quantile(coverages, (0.05, 0.95))
    return {"mean": float(np.mean(coverages)), "quantile_05": float(low), "quantile_95": float(high), "splits": splits}


def _rank(count: int) -> int:
    return min(int(np.ceil((count + 1) * IMAGES)), count)


def _growth(noisy: Sequence[Predicted], usual: float, factor: float) -> float:
    """Return the least growth that keeps the promise, or keeps it on as many pictures as any growth does."""
    needed = np.sort([_needed(picture, usual, factor) for picture in noisy])
    finite = int(np.isfinite(needed).sum())
    return float(needed[min(_rank(len(needed)), finite) - 1]) if finite else 0.0


def _needed(picture: Predicted, usual: float, factor: float) -> float:
    """Return the least growth that covers `PIXELS` of one picture, infinite where none does."""
    excess = np.sqrt(max(0.0, picture.noise**2 - usual**2))

    def is_covered(growth: float) -> bool:
        return bool((picture.error <= factor * widen(picture.scale, growth * excess)).mean() >= PIXELS)

    low, high = 0.0, LARGEST_GROWTH
    if is_covered(low):
        return low
    if not is_covered(high):
        return float("inf")
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if is_covered(middle) else (middle, high)
    return high
