"""Write the model card of a latent diffusion, and its pictures, from measured facts.

``python -m export.card_diffusion PACKAGE --epsilon EPSILON.edgesr --scores scores.json --calibration calibration.json
--runs autoencoder=DIR few-step=DIR epsilon=DIR --data DIR --out docs/models``
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import edgesr
from export import figure_cxr
from export.calibrate_diffusion import SPLITS
from export.card_cxr import NOTICE, markdown
from export.data.degradations import bicubic, downscale
from export.evaluation import cases
from export.facts_cxr import PERCEPTUAL_LOSS, TRAINING_DATA

COLUMNS = (
    ("psnr", "PSNR dB", ".2f"),
    ("above_bicubic", "pictures above bicubic", ".0%"),
    ("ssim", "SSIM", ".4f"),
    ("lpips", "LPIPS", ".4f"),
    ("lpips_ratio", "of bicubic", ".2f"),
    ("grid_index", "grid index", ".2f"),
    ("detail_precision", "detail precision", ".2f"),
    ("residual", "residual", ".2f"),
)
SETS = {
    "nih-256": "NIH validation patients, 256 x 256",
    "nih-256 300": "The same, fewer pictures, with the published 300 steps",
    "hannover-256": "Hannover, another institution",
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package")
    parser.add_argument("--epsilon", required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", required=True, metavar="STAGE=DIR", help="the recipe's --out folders")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, nargs="*", default=[12, 57], help="positions in the validation set")
    parser.add_argument("--gain", type=float, default=0.7, help="that the graph was exported with")
    parser.add_argument("--note", default="", help="what else happened during training")
    arguments = parser.parse_args()
    facts = {
        "scores": json.loads(arguments.scores.read_text()),
        "calibration": json.loads(arguments.calibration.read_text()),
        "runs": {name: _run(Path(folder)) for name, _, folder in (text.partition("=") for text in arguments.runs)},
        "gain": arguments.gain,
        "note": arguments.note,
    }
    held_out = list(cases(arguments.data, "nih-256"))
    figures = []
    with (
        edgesr.load(arguments.package, device="cpu") as few,
        edgesr.load(arguments.epsilon, device="cpu") as epsilon,
        edgesr.load("cxr-x4", device="cpu") as cxr,
    ):
        facts["name"], facts["version"] = few.descriptor.name, few.descriptor.version
        steps = few.settings()["steps"]
        facts["usual"] = f"{steps} network evaluation{'s' * (steps > 1)}"
        facts["bytes"] = Path(few.package.path).stat().st_size
        for number, position in enumerate(arguments.pictures, 1):
            case = held_out[position]
            low = downscale(case.high, "cubic")
            made = few.restore(low, uncertainty=True)
            pictures = {
                "bicubic": bicubic(low),
                "cxr-x4": cxr(low),
                "published, 300 steps": epsilon(low, consistency="off"),
                f"{facts['name']}, {steps}": made.image,
                "truth": case.high,
            }
            error = np.abs(made.image.astype(np.float64) - case.high)
            path = arguments.out / f"{facts['name']}-{number}.jpg"
            figure_cxr.write(path, figure_cxr.sheet(pictures, made.std * 255, error))
            figures.append((path.name, f"NIH {case.name}, {case.view}, seed 0"))
    (arguments.out / f"{facts['name']}.md").write_text(card(facts, figures))


def card(facts: dict[str, Any], figures: list[tuple[str, str]]) -> str:
    """Return the card's Markdown."""
    parts = [
        f"# {facts['name']}",
        f"Enlarges grey frontal chest radiographs four times by latent diffusion ({facts['bytes'] / 1e6:.2f} MB, "
        f"version {facts['version']}), by default in {facts['usual']}. The mean of [cxr-x4](cxr-x4.md) is encoded to 8 "
        "channels at the output's quarter, a residual shift is walked back by a U-Net of 816,680 parameters, and what "
        "is decoded is projected "
        "onto the pictures that agree with the input under cv2's bicubic downscaling. It is here for research on "
        "few-step diffusion: it gives different pictures from different seeds, which no one-step network does.",
        NOTICE,
        "## What to use",
        _advice(facts["scores"]["sets"]["nih-256"]["methods"]),
        "## Pictures",
        *(f"![{text}]({name})\n\n*{text}.*" for name, text in figures),
        "Left to right: bicubic, cxr-x4 at its default, the published way (300 DDPM steps from noise, nothing "
        "projected), this model, the truth; then the bound of this model's error (above) and its true error (below), "
        "black 0 to yellow 40 grey levels.",
        "## Quality",
        "All through `edgesr` on the CPU, seed 0, all pictures of a set but for those of 300 steps, input made small "
        "by cv2 cubic. PSNR and SSIM leave out 4 pixels of "
        "border; LPIPS is AlexNet v0.1. *Grid index*: power at the harmonics of a 4-pixel lattice over that beside "
        "them. *Detail precision*: the share of the added detail that is true. *Residual*: what the result, made small "
        "again, differs from the input beyond clipping and rounding, RMS in grey levels. The gain "
        f"({facts['gain']:g}) and the projection were chosen on the NIH validation patients of these tables, "
        "so only Hannover is independent of them.",
        *(_table(name, facts["scores"]["sets"][name]) for name in SETS if name in facts["scores"]["sets"]),
        "## Trust",
        _trust(facts["calibration"]),
        "## Training",
        _training(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _usual(methods: dict[str, dict[str, float]]) -> str:
    """Return the name of this model at its default."""
    return next(name for name in methods if name.endswith("the default") and name[0].isdigit())


def _advice(methods: dict[str, dict[str, float]]) -> str:
    this, dial = methods[_usual(methods)], methods["cxr-x4, default"]
    truest = methods["cxr-x4, fidelity 1"]
    return (
        f"cxr-x4 alone is as good: its default has LPIPS {dial['lpips_ratio']:.2f} of bicubic's at "
        f"{dial['psnr']:.2f} dB (here {this['lpips_ratio']:.2f} at {this['psnr']:.2f} dB), and its fidelity 1 has "
        f"{truest['psnr']:.2f} dB. Take cxr-x4 for enlarging, this model for samples and for "
        "comparisons of diffusion."
    )


def _table(name: str, found: dict[str, Any]) -> str:
    rows = [
        [method, *(format(row[key], form) if key in row else "" for key, _, form in COLUMNS)]
        for method, row in found["methods"].items()
    ]
    heading = f"### {SETS[name]} ({found['pictures']} pictures of {found['patients']} patients)"
    return f"{heading}\n\n" + markdown(["", *(label for _, label, _ in COLUMNS)], rows)


def _trust(facts: dict[str, Any]) -> str:
    link, unseen, away = facts["link"], facts["unseen patients"], facts["other institution"]
    plain, rule = facts["other institution without noise"], facts["noise"]["cubic"]
    projections = "; ".join(
        f"{name} {row['psnr']:.3f} dB, LPIPS {row['lpips']:.4f}, residual {row['residual']:.2f}, "
        + (f"largest loss on a picture {row['worst']:.3f} dB" if row["worst"] > 0 else "no picture lost PSNR")
        for name, row in facts["projections"].items()
        if name != "none"
    )
    return (
        f"**Projection**: {facts['projection']}, because its PSNR was highest ({projections}; without any "
        f"{facts['projections']['none']['psnr']:.3f} dB, residual {facts['projections']['none']['residual']:.2f}).\n\n"
        f"**Bound** (`--uncertainty`): {facts['factor']:.2f} times a scale made of the fine detail of the result, to "
        f"the power {link['exponent']:.2f}, and of the deviation of the samples. The deviation of "
        f"{facts['samples']} samples alone ranks errors poorly, with "
        f"{facts['rank correlation of the deviation alone']:.2f} (Spearman, 8 x 8 blocks): samples agree on errors "
        f"that the mean already has. With the detail it is {unseen['bound']['rank_correlation']:.2f} on patients "
        f"that neither link nor factor saw (Hannover {away['rank_correlation']:.2f}).\n\n"
        f"Fitted on half of the patients and judged on the others, mean of {SPLITS} splits: an interval made to "
        f"cover 90 % of pixels covers {unseen['interval']['pixels_inside']:.1%} (half width "
        f"{unseen['interval']['half_width']:.1f} grey levels); the bound that ships, made to cover 90 % of the pixels "
        f"of 90 % of the pictures, covers them on {unseen['bound']['pictures_inside']:.0%} of the pictures and "
        f"{unseen['bound']['pixels_inside']:.1%} of all pixels. Calibrated on {facts['pictures']} pictures of "
        f"{facts['patients']} patients.\n\n"
        "A network cannot guess noise: where an input has more than is usual, "
        f"{255 * rule['usual']:.2f} grey levels, the scale `s` becomes `sqrt(s^2 + growth^2 (noise^2 - usual^2))` with "
        f"a growth of {rule['growth']:.2f}, fitted on NIH pictures with white noise added before they were made small. "
        f"On {facts['other pictures']} pictures of Hannover, which are noisier, it covers "
        f"{away['pixels_inside']:.0%} of the pixels and keeps its promise on {away['pictures_inside']:.0%} of the "
        f"pictures (half width {away['half_width']:.1f} grey levels); without that rule it would be "
        f"{plain['pixels_inside']:.0%} and {plain['pictures_inside']:.0%}. Nothing was fitted on "
        "Hannover, but that pictures from there need more was known when the rule was made: expect "
        "less of a third institution."
    )


def _training(facts: dict[str, Any]) -> str:
    runs = "\n".join(
        f"* `{name}`: {run['step']:,} steps of {run['recipe']['batch']} crops of {run['recipe']['side']} small pixels, "
        f"{run['seconds'] / 60:.0f} minutes of wall time, seed {run['recipe']['seed']}, learning rate "
        f"{run['recipe']['learning_rate']:g}, LPIPS weight {run['recipe']['lpips_weight']:g}"
        + (f"; round trip {run['round_trip']:+.2f} dB over bicubic" if "round_trip" in run else "")
        for name, run in facts["runs"].items()
    )
    return (
        f"{TRAINING_DATA['name']}. Provider: {TRAINING_DATA['provider']}, "
        f"[{TRAINING_DATA['link']}]({TRAINING_DATA['link']}). {TRAINING_DATA['citation']}. Licence: "
        f"{TRAINING_DATA['licence']}. Split: {TRAINING_DATA['split']}. {PERCEPTUAL_LOSS}.\n\n{runs}\n\n{facts['note']}"
    )


def _run(folder: Path) -> dict[str, Any]:
    state = torch.load(folder / "checkpoint.pt", weights_only=False)
    run = {name: state[name] for name in ("step", "seconds", "recipe")}
    with (folder / "curves.csv").open(newline="") as file:
        trips = [float(row["value"]) for row in csv.DictReader(file) if row["quantity"] == "round trip psnr"]
    return run | ({"round_trip": trips[-1]} if trips else {})


if __name__ == "__main__":
    main()
