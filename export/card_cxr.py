"""Write a model card and its pictures from measured facts alone.

``python -m export.card_cxr --data DIR --network network.onnx --facts facts.json --out docs/models``
"""

import argparse
import json
from pathlib import Path
from typing import Any

from export import figure_cxr
from export.error_bound import NOISES
from export.evaluation import Enlarger, cases

NOTICE = """\
> **For research only. This is not a medical device** and must not be used for diagnosis. The pictures are generated:
> detail that the low-resolution picture does not contain is a guess, and a guess is not a measurement. The bound map
> says where and by how much the picture may be wrong; it holds on average, not for every pixel. TensorRT's licence
> excludes medical use without an agreement."""

COLUMNS = (
    ("psnr", "PSNR dB", ".2f"),
    ("psnr_gain", "gain", "+.2f"),
    ("ssim", "SSIM", ".4f"),
    ("ssim_gain", "gain", "+.4f"),
    ("lpips", "LPIPS", ".4f"),
    ("lpips_ratio", "of bicubic", ".2f"),
    ("grid_index", "grid index", ".2f"),
    ("detail_precision", "detail precision", ".2f"),
    ("measurement_rms", "measurement RMS", ".2f"),
)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, nargs="*", default=[12, 57], help="positions in the validation set")
    arguments = parser.parse_args()
    facts = json.loads(arguments.facts.read_text())
    enlarge = Enlarger(arguments.network, facts["estimator"], noise=facts["conformal"]["noise"])
    held_out = list(cases(arguments.data, "nih-256"))
    figures = []
    for number, position in enumerate(arguments.pictures, 1):
        case = held_out[position]
        path = arguments.out / f"{facts['name']}-{number}.jpg"
        sheet = figure_cxr.comparison(enlarge, case, facts["default_fidelity"], facts["conformal"]["factor"])
        figure_cxr.write(path, sheet)
        figures.append((path.name, f"NIH {case.name}, {case.view}, reduced to 256 x 256, then to 64 x 64 by cv2 cubic"))
    (arguments.out / f"{facts['name']}.md").write_text(card(facts, figures))


def card(facts: dict[str, Any], figures: list[tuple[str, str]]) -> str:
    """Return the card's Markdown."""
    parts = [
        f"# {facts['name']}",
        _introduction(facts),
        NOTICE,
        "## Pictures",
        *(f"![{text}]({name})\n\n*{text}.*" for name, text in figures),
        "Left to right: bicubic, fidelity 1 (the mean), the default, fidelity 0 (sharpest), the truth, and the bound "
        "of the error (above) with the true error of the default (below), black 0 to yellow 40 grey levels.",
        "## Quality",
        "Means over all the pictures of a set, of patients outside training. The default of the dial and the bound "
        "were chosen on the same NIH validation patients. Nothing was trained or fitted on Hannover, but how much "
        "noise to train with, and that the bound must know of noise, was decided with a look at its figures. Pictures "
        "are 8-bit; PSNR and SSIM leave out 4 pixels of "
        "border; LPIPS is AlexNet v0.1. *Grid index*: power at the harmonics of a 4-pixel lattice over that beside "
        "them. *Detail precision*: the share of the added detail that is true, 1 = all. *Measurement RMS*: the result "
        "shrunk by cv2 cubic against the low-resolution input, in grey levels; the true pictures themselves have "
        f"{facts['truth_measurement_rms']:.2f} on cubic input.",
        "*nih-256*: validation pictures of 512 pixels made 256 by cv2 cubic; *nih-256-antialiased*: the same by area "
        "means; *nih-512*: as they are; *nih-1024-256*: straight from 1024 by cv2 cubic; *hannover-256*: another "
        "institution, never trained on. The second word is how the high resolution was shrunk to the input.",
        *(_table(title, groups["all"]) for title, groups in facts["quality"].items()),
        "### Groups: NIH, 256 x 256, cubic",
        _groups(facts["quality"]["nih-256 cubic"]),
        "### Groups: Hannover, 256 x 256, cubic",
        _groups(facts["quality"]["hannover-256 cubic"]),
        "## Trust",
        _trust(facts),
        "## Training",
        _training(facts["training"]),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(facts: dict[str, Any]) -> str:
    return (
        f"Enlarges grey frontal chest radiographs four times, in one step, with {facts['parameters']:,} parameters "
        f"({facts['bytes'] / 1e6:.2f} MB as float32 ONNX). For researchers who study super-resolution of radiographs "
        "and for engineers who need a network that says what it does not know. The fidelity dial runs from 1 (the "
        f"mean, highest PSNR) to 0 (sharpest); the default is {facts['default_fidelity']:g}. A step inside the graph "
        "makes the result agree with the input pixels under the downscaler that made them, which the runtime estimates "
        "from the spectrum of the whole picture unless it is told: "
        + "; ".join(f"*{name}* ({text})" for name, text in facts["degradations"].items())
        + "."
    )


def _table(title: str, methods: dict[str, dict[str, float]]) -> str:
    name, degradation = title.rsplit(" ", 1)
    shown = [column for column in COLUMNS if any(column[0] in row for row in methods.values())]
    rows = [[method, *_cells(row, shown)] for method, row in methods.items() if method != "count"]
    heading = f"### {name}, {degradation} ({methods['count']['pictures']:.0f} pictures)"
    return f"{heading}\n\n" + markdown(["", *(label for _, label, _ in shown)], rows)


def _groups(groups: dict[str, dict[str, dict[str, float]]]) -> str:
    rows = []
    for group, methods in sorted(groups.items()):
        for method in ("bicubic", "fidelity 1", "default"):
            count = f"{methods['count']['pictures']:.0f}"
            rows.append([group, count, method, *_cells(methods[method], COLUMNS[:6])])
    return markdown(["group", "pictures", "", *(label for _, label, _ in COLUMNS[:6])], rows)


def _trust(facts: dict[str, Any]) -> str:
    conformal = facts["conformal"]
    coverage = conformal["coverage"]
    cubic, outside = (facts["quality"][f"{name} cubic"]["all"]["default"] for name in ("nih-256", "hannover-256"))
    blobs = "; ".join(f"{name}: {share:.1%}" for name, share in facts["blob_energy_left"].items())
    confusion = [
        [pictures, true, *(f"{share:.0%}" for share in row.values())]
        for pictures, rows in facts["confusions"].items()
        for true, row in rows.items()
    ]
    bound = (
        f"The bound is {conformal['factor']:.2f} times the predicted scale: at least {conformal['pixels']:.0%} of the "
        f"pixels inside on at least {conformal['pictures']:.0%} of the pictures, whichever of the downscalers made "
        f"the input, calibrated on {conformal['number_of_pictures']} pictures of {conformal['number_of_patients']} "
        f"patients at the default. Over {coverage['splits']} random halves of the patients, {coverage['mean']:.1%} of "
        f"the other half's pictures were covered (5 to 95 %: {coverage['quantile_05']:.0%} to "
        f"{coverage['quantile_95']:.0%}). Rank correlation of predicted scale and true error on 8 x 8 blocks: "
        f"{cubic['scale_rank_correlation']:.2f} (Hannover {outside['scale_rank_correlation']:.2f})."
    )
    noise = (
        "A network cannot guess noise: where an input has more than is usual, the scale `s` becomes "
        "`sqrt(s^2 + growth^2 (noise^2 - usual^2))`. Usual is what half of the calibration pictures have; the growth "
        f"was fitted on {conformal['number_of_noisy_pictures']} of them with white noise of "
        f"{', '.join(f'{level:g}' for level in NOISES)} grey levels, added before they were made small. "
        "An antialiased input hides most of the noise, so that weak noise may be missed. Where the downscaler is not "
        "certain, the rule of the likely ones counts that widens most. Nothing was fitted on Hannover, whose pictures "
        "are noisier, but that they need more was known when the rule was made: expect less elsewhere. What the bound "
        "covers at the default:"
    )
    invention = (
        "A false blob of 20 grey levels planted before the consistency step keeps this share of its energy: "
        f"{blobs}. Structure much smaller than an input pixel cannot be checked by any measurement and is left to the "
        "bound."
    )
    reach = (
        f"An output pixel depends on input pixels up to {facts['receptive_field_radius']} away; tiles that overlap by "
        + " or ".join(f"{r} pixels equal the whole within {t}" for t, r in facts["effective_radius"].items())
        + "."
    )
    estimate = "Share of pictures for which each downscaler is found the most likely, by the true one:"
    table = markdown(["pictures", "true", *facts["degradations"]], confusion)
    return "\n\n".join([bound, noise, _coverage(facts), invention, estimate, table, reach])


def _coverage(facts: dict[str, Any]) -> str:
    """Return the tables of the noise rules and of what the bound covers."""
    conformal = facts["conformal"]
    rules = [
        [
            kernel,
            f"{255 * rule['usual']:.2f}",
            f"{rule['growth']:.2f}",
            *_shares(conformal["coverage_with_noise"][kernel]),
        ]
        for kernel, rule in conformal["noise"].items()
    ]
    sets = [
        [title, f"{row['pixels_inside']:.1%}", f"{row['pictures_inside']:.0%}"]
        for title, groups in facts["quality"].items()
        for row in [groups["all"]["default"]]
    ]
    added = (f"noise of {level:g}: pixels (pictures)" for level in NOISES)
    first = markdown(["downscaler", "usual noise, grey levels", "growth", *added], rules)
    return first + "\n\n" + markdown(["set", "pixels inside", "pictures with 90 % inside"], sets)


def _shares(found: dict[str, dict[str, float]]) -> list[str]:
    return [f"{share['pixels']:.1%} ({share['pictures']:.0%})" for share in found.values()]


def _training(training: dict[str, Any]) -> str:
    data = training["data"]
    return (
        f"{data['name']}. Provider: {data['provider']}, [{data['link']}]({data['link']}). {data['citation']}. "
        f"Licence: {data['licence']}. Split: {data['split']}. {training['perceptual_loss']}.\n\n"
        f"`{training['command']}`: {training['steps']} steps of {training['recipe']['batch']} crops, seed "
        f"{training['recipe']['seed']}, {training['date']}, {training['hardware']}, torch {training['torch']}. "
        f"{training['note']}"
    )


def _cells(row: dict[str, float], columns: tuple[tuple[str, str, str], ...] | list[tuple[str, str, str]]) -> list[str]:
    return [format(row[name], form) if name in row else "" for name, _, form in columns]


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
