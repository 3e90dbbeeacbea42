"""Measure how soft the declared downscalers leave training pictures, and how well that tells other pictures apart.

``python -m export.convention_cxr --data DIR --model cxr-x4 --out docs/degradation.md`` writes the table of rates.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edgesr.image.sharpness import spectrum
from edgesr.model.package import open_package
from edgesr.model.registry import find
from edgesr.pipelines.convention import JPEG_BLOCKS, MARGIN, STEPS, check_convention
from export.data.degradations import downscale
from export.data.xray import read_folder, read_grey
from export.models.resample import DEGRADATIONS

LOWEST = {"fine": -20.0, "coarse": -30.0, "overall": -42.0}
"""Decibels that no downscaled picture reaches."""
SETS = {
    "NIH, 512": "cxr/val/*.png",
    "NIH, 1024": "cxr/val_1024/*.png",
    "Hannover": "cxr_hannover/*.png",
    "Kodak": "natural/kodak/*.png",
}
TEXT = """# Does a picture fit the model?

The shipped X-ray models undo three downscalers, `cubic`, `area` and `antialiased` (`degradation` in `model.json`). A
picture that was made in another way is enlarged as well, but what the model adds to it is less trustworthy. `edgesr
run` therefore measures every picture and says so in a note (`convention` in `--json` and `Result.convention` in
Python) when

- its spectrum falls more steeply than that of any training picture after any of the three downscalers ({fine:.2f} dB
  from 0.2 to 0.4 cycles per pixel, {coarse:.2f} dB from 0.06 to 0.2, {overall:.2f} dB from 0.06 to 0.4, and
  {margin:g} dB of margin): it was enlarged, blurred or smoothed before;
- the seams of its 8 x 8 blocks are more than {blocks:g} times as rough as the lines beside them: it was JPEG.

Not seen: noise, sharpening, linear enlargement by 3, downscalers of similar sharpness (nearest, Lanczos), weak JPEG
compression, anything in pictures below 32 pixels (96 for JPEG) or without texture. Silence is no proof of fit.

Which of the three downscalers made the picture is estimated from its spectrum too, and the network is told
(`shares` in `convention`; the model cards say how often that is right; `--degradation` overrides it).
`Result.consistency` is the residual under the best of the three.
Noise misleads that estimate, is not noted, and widens the bound of the error (`uncertainty.noise`).

Share of pictures with a note, on pictures outside training, at full size and, in brackets, first reduced to 256 x 256.
The first three rows are what the models were made for: any note there is a false alarm.

"""


def limits(data: Path) -> dict[str, float]:
    """Return the steepest fall of the spectrum, in decibels, over all training pictures, sizes and downscalers."""
    found: dict[str, list[float]] = {name: [] for name in STEPS}
    for picture in read_folder(data / "cxr" / "train").values():
        for high in (picture, _small(picture, cv2.INTER_CUBIC), _small(picture, cv2.INTER_AREA)):
            for kernel in DEGRADATIONS:
                measured = spectrum(downscale(high, kernel)[..., None])
                for name, values in found.items():
                    step = getattr(measured, f"{name}_step")(LOWEST[name])
                    values += [] if step is None else [step]
    return {name: round(min(values), 2) for name, values in found.items()}


def inputs(high: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield low-resolution pictures uint8 ``(h, w)`` of one high-resolution one, made in many ways."""
    cubic = downscale(high, "cubic")
    for name in DEGRADATIONS:
        yield name, downscale(high, name)
    yield "blurred (sigma 3 pixels), then cubic", downscale(cv2.GaussianBlur(high, (0, 0), 3), "cubic")
    yield "cubic, then blurred (sigma 1)", cv2.GaussianBlur(cubic, (0, 0), 1)
    yield "cubic, then blurred (sigma 2)", cv2.GaussianBlur(cubic, (0, 0), 2)
    eighth = cv2.resize(high, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    yield "reduced 8 times, enlarged 2 times", cv2.resize(eighth, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for factor in (2, 3):
        large = cv2.resize(cubic, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        yield f"cubic, then enlarged {factor} times", large
    for quality in (90, 75, 50):
        yield f"cubic, then JPEG quality {quality}", _jpeg(cubic, quality)
    noise = np.random.default_rng(0).normal(0, 5, cubic.shape)
    yield "cubic, then noise (5 grey levels)", np.clip(np.rint(cubic + noise), 0, 255).astype(np.uint8)
    yield "not reduced at all", high


def rates(data: Path, problem: Callable[[np.ndarray], bool]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return per input and set the share of pictures with a problem, at full size and from 256 x 256."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for title, pattern in SETS.items():
        counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        paths = sorted(data.glob(pattern))
        for path in paths:
            picture = read_grey(path)
            whole = picture[: picture.shape[0] // 8 * 8, : picture.shape[1] // 8 * 8]
            for count, high in zip(counts, (whole, _small(picture, cv2.INTER_CUBIC)), strict=True):
                for name, low in inputs(high):
                    count[name] += problem(low)
        for name, _ in inputs(np.zeros((256, 256), np.uint8)):
            found.setdefault(name, {})[title] = (counts[0][name] / len(paths), counts[1][name] / len(paths))
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="cxr-x4")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    descriptor = open_package(find(arguments.model)).descriptor
    declared = {**(descriptor.degradation or {}), "sharpness": limits(arguments.data)}
    descriptor = replace(descriptor, degradation=declared)

    def problem(low: np.ndarray) -> bool:
        checked = check_convention(descriptor, low[..., None])
        return checked is not None and checked.problem is not None

    table = rates(arguments.data, problem)
    counts = {title: len(list(arguments.data.glob(pattern))) for title, pattern in SETS.items()}
    lines = ["| input | " + " | ".join(f"{title} ({counts[title]})" for title in SETS) + " |"]
    lines.append("|---|" + "---|" * len(SETS))
    for name, row in table.items():
        lines.append(f"| {name} | " + " | ".join(f"{a:.0%} ({b:.0%})" for a, b in row.values()) + " |")
    head = TEXT.format(**declared["sharpness"], margin=MARGIN, blocks=JPEG_BLOCKS)
    arguments.out.write_text(head + "\n".join(lines) + "\n\nWritten by `python -m export.convention_cxr`.\n")


def _small(picture: np.ndarray, interpolation: int) -> np.ndarray:
    return cv2.resize(picture, (256, 256), interpolation=interpolation)


def _jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


if __name__ == "__main__":
    main()
