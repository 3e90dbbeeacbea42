"""Score an exported latent diffusion on held-out pictures: ``python -m export.evaluate_diffusion FOLDER --mean W``.

``FOLDER`` is what ``export.graph_diffusion`` wrote. Beside it stand bicubic and cxr-x4 at several fidelities, on the
same pictures: 256 px by cv2 cubic, low resolution by cv2 cubic again. Every enlargement is also projected onto what was
measured, as the run time does. Prints a table, and writes it as JSON with a picture of all side by side.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from edgesr.schedule import Schedule, ScheduleConfig, make_schedule, noise_field, sample
from export import metrics
from export.data.degradations import bicubic, downscale
from export.data.xray import read_folder
from export.evaluation import measurement_rms
from export.lpips import Lpips
from export.models.cascade import MeanEnlarger
from export.models.consistency import DataConsistency

Enlarge = Callable[[np.ndarray], np.ndarray]
CUBIC = torch.tensor([1.0, 0.0, 0.0])
STEP = torch.tensor([1 / 255])


@dataclass(frozen=True)
class Sampling:
    """A schedule by name; ``seed`` chooses the noise."""

    name: str
    schedule: Schedule
    seed: int = 1


class ExportedDiffusion:
    """The three graphs on the CPU, walked by the schedule's reference loop."""

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._encoder, self._unet, self._decoder = (
            onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "unet", "decoder")
        )
        self.config = ScheduleConfig.read(folder / "scheduler_config.json")

    @property
    def is_few_step(self) -> bool:
        """Whether the encoder takes the low-resolution picture as it is."""
        return self.config.sampler == "resshift"

    def encode(self, low: np.ndarray) -> np.ndarray:
        """Return the condition ``(1, channels, h, w)`` of a uint8 picture."""
        image = low if self.is_few_step else bicubic(low)
        return self._encoder.run(None, {"image": _signed(image)})[0]

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Return float64 grey ``(H, W)``, 0 to 255."""
        return (self._decoder.run(None, {"latent": latent.astype(np.float32)})[0][0, 0].astype(np.float64) + 1) * 127.5

    def sample(self, condition: np.ndarray, sampling: Sampling) -> np.ndarray:
        """Return one picture."""
        shape = condition.shape[1:]
        state = sampling.schedule.first_state(condition, noise_field(sampling.seed, 0, shape)[None])

        def predict(scaled: np.ndarray, t: float) -> np.ndarray:
            feeds = {"state": scaled.astype(np.float32), "timestep": np.array([t], np.float32)}
            return self._unet.run(None, {**feeds, "condition": condition})[0]

        def noise(step: int) -> np.ndarray:
            return noise_field(sampling.seed, step + 1, shape)[None]

        return self.decode(sample(sampling.schedule, predict, state, noise))

    def samplings(self, steps: list[int]) -> Iterator[Sampling]:
        """Yield what is scored: few steps; or the published sampler, and truncated starts of the same network."""
        if self.is_few_step:
            yield from (Sampling(f"{n} steps", make_schedule(self.config, n)) for n in steps)
            return
        for n in steps:
            if n < 300:
                schedule = make_schedule(self.config, n, sampler="dpm++2m", start_timestep=50 if n < 50 else 299)
                yield Sampling(f"dpm++2m {n} from t={schedule.timesteps[0]:g}", schedule)
            else:
                yield Sampling("ddpm 300 from noise", make_schedule(self.config, 300))


class Table:
    """Mean scores by name; ``lpips`` holds the weights of the alex network."""

    def __init__(self, lpips: Path) -> None:
        self._lpips = Lpips("alex", lpips)
        self._rows: dict[str, list[dict[str, float]]] = {}

    @torch.no_grad()
    def add(self, name: str, image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Score a picture, rounded to uint8, and return it so."""
        image, baseline = np.clip(np.rint(image), 0, 255).astype(np.uint8), bicubic(low)
        pair = (torch.from_numpy(p)[None, None].float() / 255 for p in (image, high))
        row = {
            "psnr": metrics.psnr(image, high),
            "ssim": metrics.ssim(image, high),
            "lpips": float(self._lpips(*pair)),
            "grid": metrics.grid_index(image),
            "residual": measurement_rms(image, low),
        }
        if not np.array_equal(image, baseline):
            row["precision"] = metrics.detail_precision(image, baseline, high)
        self._rows.setdefault(name, []).append(row)
        return image

    def means(self) -> dict[str, dict[str, float]]:
        """Return every row's means, with LPIPS as a ratio to bicubic's and the share of pictures above its PSNR."""
        found = {}
        base = self._rows["bicubic"]
        for name, rows in self._rows.items():
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            mean["ratio"] = mean["lpips"] / float(np.mean([row["lpips"] for row in base]))
            pairs = zip(rows, base, strict=True)
            found[name] = mean | {"above bicubic": float(np.mean([a["psnr"] > b["psnr"] for a, b in pairs]))}
        return found


@torch.no_grad()
def project(image: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Make a picture agree with the measured one; grey 0 to 255."""
    picture, measured = (torch.from_numpy(p.astype(np.float32))[None, None] / 255 for p in (image, low))
    return DataConsistency()(picture, measured, CUBIC.reshape(1, 3, 1, 1), STEP)[0, 0].numpy() * 255


@torch.no_grad()
def cxr(enlarger: MeanEnlarger, low: np.ndarray, fidelity: float) -> np.ndarray:
    """Enlarge by the whole cxr-x4 graph, consistency included."""
    image = torch.from_numpy(low)[None, None].float() / 255
    return enlarger.network(image, torch.tensor([fidelity]), CUBIC, torch.ones(1), STEP)[0][0, 0].numpy() * 255


def _signed(image: np.ndarray) -> np.ndarray:
    return image[None, None].astype(np.float32) / 127.5 - 1


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path, required=True, help="PNGs of patients that nothing was trained on")
    parser.add_argument("--mean", type=Path, required=True, help="weights.pt or checkpoint.pt of cxr-x4")
    parser.add_argument("--lpips", type=Path, required=True, help="folder with lpips_alex_state_dict.pt")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture")
    parser.add_argument("--samples", type=int, default=0, help="also score the spread and the mean of so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="a .json; a .png goes beside it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    diffusion = ExportedDiffusion(arguments.folder, arguments.threads)
    enlarger = MeanEnlarger.read(arguments.mean)
    table, samplings = Table(arguments.lpips), list(diffusion.samplings(arguments.steps))
    names = sorted(read_folder(arguments.pictures).items())[:: arguments.stride]
    correlations, shown = [], None
    for _, large in names:
        high = cv2.resize(large, (256, 256), interpolation=cv2.INTER_CUBIC)
        low = downscale(high, "cubic")
        row = [table.add("bicubic", bicubic(low), low, high)]
        for fidelity in (1.0, 0.5, 0.0):
            row.append(table.add(f"cxr-x4 fidelity {fidelity:g}", cxr(enlarger, low, fidelity), low, high))
        condition = diffusion.encode(low)
        table.add("decoded condition", diffusion.decode(condition), low, high)
        for sampling in samplings:
            image = diffusion.sample(condition, sampling)
            table.add(sampling.name, image, low, high)
            row.append(table.add(f"{sampling.name}, projected", project(image, low), low, high))
        if arguments.samples:
            seeds = range(1, arguments.samples + 1)
            drawn = [diffusion.sample(condition, Sampling("", samplings[-1].schedule, seed)) for seed in seeds]
            middle = np.mean(drawn, axis=0)
            table.add(f"mean of {arguments.samples} samples", middle, low, high)
            correlations.append(metrics.block_rank_correlation(np.std(drawn, axis=0), middle - high))
        shown = np.hstack([*row, high]) if shown is None else shown
    means = table.means()
    for name, mean in means.items():
        print(f"{name:34}" + " ".join(f"{key} {value:.4f}" for key, value in mean.items()))
    document = {"pictures": len(names), "rows": means}
    if correlations:
        document["rank correlation of spread and error, 8 x 8 blocks"] = float(np.mean(correlations))
        print(f"rank correlation of spread and error {np.mean(correlations):.3f}")
    arguments.out.write_text(json.dumps(document, indent=2) + "\n")
    cv2.imwrite(str(arguments.out.with_suffix(".png")), shown)


if __name__ == "__main__":
    main()
