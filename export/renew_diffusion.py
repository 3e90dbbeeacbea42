"""Give the shipped diffusion another mean, and measure it anew: nothing is trained.

``python -m export.renew_diffusion --autoencoder A --unet U --mean M --epsilon EPSILON.edgesr --runs ... --data DIR
--version 1.2.0 --work DIR``. Exports the graphs with the weights ``M`` of cxr-x4 or cxr-x4-fast, calibrates, packs,
scores, packs with the scores and writes the card. Each stage leaves its file in ``--work``; one that is there already
is not made again.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from export.pack_diffusion import NAME

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--autoencoder", type=Path, required=True, help="weights.pt of the recipe's stage")
    parser.add_argument("--unet", type=Path, required=True, help="weights.pt of the stage few-step")
    parser.add_argument("--mean", type=Path, required=True, help="weights.pt of cxr-x4 or cxr-x4-fast")
    parser.add_argument("--gain", default="0.7", help="of the corrections")
    parser.add_argument("--epsilon", type=Path, required=True, help="package of the published objective")
    parser.add_argument("--runs", nargs="+", required=True, metavar="STAGE=DIR", help="for the card")
    parser.add_argument("--note", type=Path, help="file with what the card says about the training")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", default="1", help="network evaluations by default")
    parser.add_argument("--version", required=True)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made on the way")
    renew(parser.parse_args())


def renew(given: argparse.Namespace) -> None:
    """Run the stages, and put package and card where the checkout has them."""
    work, data, lpips = given.work, str(given.data), str(given.data / "weights" / "lpips")
    work.mkdir(parents=True, exist_ok=True)
    onnx, base, shipped = work / "onnx", work / "base.edgesr", ROOT / "edgesr" / "models" / f"{NAME}.edgesr"
    calibration, scores = work / "calibration.json", work / "scores.json"
    picture = sorted((given.data / "cxr" / "val").glob("*.png"))[0]
    if not (onnx / "decoder.onnx").exists():
        parts = ["--autoencoder", given.autoencoder, "--unet", given.unet, "--mean", given.mean]
        _run("graph_diffusion", "few-step", "--gain", given.gain, *parts, "--picture", picture, "--out", onnx)
    edgesr = [sys.executable, "-m", "edgesr", "pack", "--scale", "4", "--trained-size", "64", "--latent-scale", "1"]
    files = [x for part in ("encoder", "unet", "decoder") for x in (f"--{part}", str(onnx / f"{part}.onnx"))]
    schedule = ["--schedule", str(onnx / "scheduler_config.json"), "--steps", given.steps, "--degradation", "cubic"]
    subprocess.run([*edgesr, *files, *schedule, "-o", str(base)], check=True, cwd=ROOT)
    if not calibration.exists():
        _run("calibrate_diffusion", base, "--data", data, "--lpips", lpips, "--threads", given.threads,
             "--out", calibration)  # fmt: skip
    pack = ["--onnx", onnx, "--calibration", calibration, "--data", data, "--steps", given.steps]
    pack += ["--version", given.version, "--out", work / f"{NAME}.edgesr"]
    _run("pack_diffusion", *pack)
    if not scores.exists():
        _run("score_diffusion", work / f"{NAME}.edgesr", "--epsilon", given.epsilon, "--data", data, "--lpips", lpips,
             "--threads", given.threads, "--out", scores)  # fmt: skip
    _run("pack_diffusion", *pack, "--scores", scores)
    shutil.copyfile(work / f"{NAME}.edgesr", shipped)
    note = ["--note", given.note.read_text().strip()] if given.note else []
    facts = ["--scores", scores, "--calibration", calibration, "--runs", *given.runs, "--gain", given.gain]
    _run("card_diffusion", NAME, "--epsilon", given.epsilon, *facts, "--data", data,
         "--out", ROOT / "docs" / "models", *note)  # fmt: skip


def _run(module: str, *words: object) -> None:
    subprocess.run([sys.executable, "-m", f"export.{module}", *map(str, words)], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
