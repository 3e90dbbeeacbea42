"""Small packages of latent diffusions, and the same diffusion in numpy around ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper

from edgesr.image.resample import upscale
from edgesr.model import Diffusion, ModelDescriptor, Part, Preprocessing, SizeRequirements, write_package
from edgesr.schedule import Schedule, noise_field
from edgesr.schedule.loop import sample
from tests.compile.denoisers import denoiser
from tests.compile.samples import weight
from tests.networks import save, tensor

SCHEDULE = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 300,
    "clip_sample": False,
    "num_inference_steps": 3,
    "start_timestep": 50,
}
SCALE, FACTOR = 4, 4


def encoder(path: Path, *, channels: int = 4, pictures: int = 1, moments: bool = False, factor: int = FACTOR) -> Path:
    """A picture to a latent: blocks to channels, an orthogonal mixture of them, cut off; with 3 x 3 pixels around."""
    width = pictures * factor**2
    made = channels * (2 if moments else 1)
    nodes = [
        helper.make_node("SpaceToDepth", ["image"], ["blocks"], blocksize=factor),
        helper.make_node("Conv", ["blocks", "w"], ["encoded"], pads=[1] * 4),
    ]
    filters = 0.05 * weight(made, width, 3, 3)
    filters[..., 1, 1] = mixture(made, width)
    outputs = [tensor("encoded", "n", made, "eh", "ew")]
    return save(path / "encoder.onnx", nodes, [tensor("image", "n", pictures, "h", "w")], outputs, {"w": filters})


def decoder(path: Path, *, channels: int = 4, pictures: int = 1, factor: int = FACTOR) -> Path:
    """The transpose of the encoder's mixture."""
    width = pictures * factor**2
    nodes = [
        helper.make_node("Conv", ["z", "w"], ["blocks"], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["blocks"], ["image"], blocksize=factor),
    ]
    filters = 0.05 * weight(width, channels, 3, 3, seed=4)
    filters[..., 1, 1] = mixture(channels, width).T
    inputs, outputs = [tensor("z", "n", channels, "h", "w")], [tensor("image", "n", pictures, "H", "W")]
    return save(path / "decoder.onnx", nodes, inputs, outputs, {"w": filters})


def mixture(rows: int, columns: int) -> np.ndarray:
    """Orthonormal rows, the first of which is the mean of a block."""
    start = np.random.default_rng(9).standard_normal((columns, columns))
    start[:, 0] = 1.0
    basis = np.linalg.qr(start)[0]
    basis[:, 0] = np.abs(basis[:, 0])
    return basis[:, :rows].T.astype(np.float32)


def package(
    folder: Path,
    *,
    name: str = "tiny-diffusion",
    joined: int = 4,
    condition: int = 0,
    pictures: int = 1,
    moments: bool = False,
    schedule: dict[str, Any] = SCHEDULE,
    shape: tuple[int | str, ...] = ("n", "h", "w"),
    around: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """A package of a random denoiser between encoder and decoder; its receptive field is two latents."""
    folder.mkdir(parents=True, exist_ok=True)
    denoiser(folder, joined=joined, condition=condition, size=shape)
    inputs = {"state": "sample", "timestep": "timestep"} | ({"condition": "cond"} if condition else {})
    parts = {
        "encoder": Part("encoder.onnx", "", {"image": "image"}, {"latent": "encoded"}),
        "unet": Part("denoiser.onnx", "", inputs, {"prediction": "noise_pred"}),
        "decoder": Part("decoder.onnx", "", {"latent": "z"}, {"image": "image"}),
    }
    conditioning = "separate" if condition else "joined" if joined else "none"
    descriptor = ModelDescriptor(
        **{
            "name": name,
            "version": "1.0.0",
            "task": "latent-diffusion",
            "parts": parts,
            "scale": SCALE,
            "input_channels": pictures,
            "output_channels": pictures,
            "input": Preprocessing(color="grey" if pictures == 1 else "rgb", range=(-1.0, 1.0)),
            "output_range": (-1.0, 1.0),
            "size": SizeRequirements(),
            "receptive_field": 2,
            "tile": 16,
            "degradation": {"kernel": "cubic"},
            "schedule": dict(schedule),
            "diffusion": Diffusion(4, FACTOR, 0.5, 0.1, conditioning=conditioning, **(around or {})),
            **fields,
        }
    )
    files = {
        "encoder.onnx": encoder(folder, pictures=pictures, moments=moments),
        "denoiser.onnx": folder / "denoiser.onnx",
        "decoder.onnx": decoder(folder, pictures=pictures),
    }
    return write_package(folder / f"{name}.edgesr", descriptor, files)


@dataclass(frozen=True)
class Reference:
    """The diffusion of a package's ONNX files in numpy, for pictures of one plane and no consistency."""

    folder: Path
    schedule: Schedule
    condition: str | None = None

    def __call__(self, small: np.ndarray, *, seed: int = 0, sample_number: int = 0) -> np.ndarray:
        """Return float ``(H, W)`` of float ``(h, w)`` in [0, 1]."""
        large = upscale(small[..., None].astype(np.float32), SCALE)[..., 0] * 2 - 1
        latent = (self._run("encoder", image=large[None, None])[:, :4] - 0.1) * 0.5
        shape = latent.shape[1:]

        def network(x: np.ndarray, t: float) -> np.ndarray:
            feeds = {"sample": x.astype(np.float32), "timestep": np.full(1, t, np.int64)}
            if self.condition == "joined":
                feeds["sample"] = np.concatenate([feeds["sample"], latent], axis=1)
            if self.condition == "separate":
                feeds["cond"] = latent
            return self._run("denoiser", **feeds).astype(np.float64)

        noise = [noise_field(seed, k, shape, sample=sample_number)[None] for k in range(self.schedule.steps + 1)]
        state = self.schedule.first_state(latent, noise[0]).astype(np.float64)
        last = sample(self.schedule, network, state, lambda index: noise[index + 1])
        image = self._run("decoder", z=(last / 0.5 + 0.1).astype(np.float32))
        return (image[0, 0] + 1) / 2

    def _run(self, name: str, **feeds: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(self.folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        return session.run(None, feeds)[0]
