"""Export a trained latent diffusion: ``python -m export.graph_diffusion few-step --autoencoder A --unet U --out DIR``.

Writes ``encoder.onnx``, ``unet.onnx``, ``decoder.onnx`` and ``scheduler_config.json``, ready for ``edgesr pack``, after
checking each graph against torch on real pictures of two sizes. Pictures are grey in [-1, 1]. The encoder of
``few-step`` takes the low-resolution picture as it is (its own enlargement is inside); that of ``epsilon`` takes the
bicubic enlargement.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from export.data.degradations import bicubic, downscale
from export.data.xray import read_grey
from export.graph_writing import write_graph
from export.models.autoencoder import GreyAutoencoder
from export.models.cascade import CascadeEncoder, MeanEnlarger
from export.models.unet_lite import DIVISOR, UNetLite
from export.recipes.latent_stages import EPSILON_SCHEDULE, FEW_STEP_SCHEDULE

TOLERANCE = 2e-4
"""Largest difference from torch that passes, as a share of the largest value."""
SIZES = (256, 192)
"""Sides of the high-resolution pictures of the check; the graphs are traced at neither."""


@dataclass(frozen=True)
class Part:
    """A network to be written, and real inputs by name at each of `SIZES`; the axes 0, 2, 3 of pictures are dynamic."""

    network: nn.Module
    feeds: list[dict[str, Tensor]]
    output: str


class Encode(nn.Module):
    """The mean of the posterior as a network of its own."""

    def __init__(self, autoencoder: GreyAutoencoder) -> None:
        super().__init__()
        self.encoder = autoencoder.encoder

    def forward(self, image: Tensor) -> Tensor:
        """Encode ``(N, 1, H, W)``."""
        return self.encoder(image)


class Decode(nn.Module):
    """The decoder with its result clipped to [-1, 1]."""

    def __init__(self, autoencoder: GreyAutoencoder) -> None:
        super().__init__()
        self.decoder, self.filter = autoencoder.decoder, autoencoder.filter

    def forward(self, latent: Tensor) -> Tensor:
        """Decode ``(N, channels, h, w)``."""
        return self.filter(self.decoder(latent)).clamp(-1, 1)


@torch.no_grad()
def parts(
    autoencoder: GreyAutoencoder, unet: UNetLite, mean: MeanEnlarger | None, picture: np.ndarray
) -> dict[str, Part]:
    """Return the three networks with real inputs; ``mean`` belongs to few steps, None to the published objective."""
    encoder = Encode(autoencoder) if mean is None else CascadeEncoder(mean, autoencoder.encoder)
    feeds: list[tuple[dict[str, Tensor], ...]] = []
    for side in SIZES:
        low = downscale(cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC), "cubic")
        image = _signed(bicubic(low) if mean is None else low)
        condition = encoder.eval()(image)
        state = condition + torch.randn(condition.shape, generator=torch.Generator().manual_seed(side))
        steps = {"state": state, "condition": condition, "timestep": torch.tensor([3.0])}
        feeds.append(({"image": image}, steps, {"latent": condition}))
    networks = ((encoder, "latent"), (unet, "prediction"), (Decode(autoencoder), "image"))
    found = zip(("encoder", "unet", "decoder"), networks, zip(*feeds, strict=True), strict=True)
    return {name: Part(network.eval(), list(feed), output) for name, (network, output), feed in found}


@torch.no_grad()
def export(part: Part, path: Path) -> float:
    """Write one network at opset 17 with dynamic batch, height and width; return its largest difference from torch.

    Raises ValueError for an operator that `write_graph` does not know and for a difference above `TOLERANCE`.
    """
    example = {name: _example(value) for name, value in part.feeds[0].items()}
    axes = {name: {0: "batch", 2: f"{name}_height", 3: f"{name}_width"} for name, v in example.items() if v.ndim == 4}
    axes[part.output] = {0: "batch", 2: "out_height", 3: "out_width"}
    write_graph(part.network, example, (part.output,), axes, path)
    return _check(part, path)


def _check(part: Part, path: Path) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = []
    for feed in part.feeds:
        expected = part.network(*feed.values()).numpy()
        (found,) = session.run([part.output], {name: value.numpy() for name, value in feed.items()})
        differences.append(np.abs(found - expected).max() / np.abs(expected).max())
    worst = float(np.max(differences))
    if not worst <= TOLERANCE:
        raise ValueError(f"{path.name} differs from torch by {worst:.2g} of the largest value; at most {TOLERANCE}")
    return worst


def _example(value: Tensor) -> Tensor:
    """Cut a picture to a size that is none of the check's."""
    return value[..., : 12 * DIVISOR, : 8 * DIVISOR] if value.ndim == 4 else value


def _signed(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image)[None, None].float() / 127.5 - 1


def _weights(path: Path) -> Mapping[str, Tensor]:
    state = torch.load(path, weights_only=False)
    return state.get("averaged", state)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("objective", choices=("few-step", "epsilon"))
    parser.add_argument(
        "--autoencoder", type=Path, required=True, help="weights.pt or checkpoint.pt of the autoencoder"
    )
    parser.add_argument("--unet", type=Path, required=True, help="weights.pt or checkpoint.pt of the objective's stage")
    parser.add_argument("--mean", type=Path, help="weights.pt or checkpoint.pt of cxr-x4, for few-step")
    parser.add_argument("--channels", type=int, default=8, help="of the latent")
    parser.add_argument("--gain", type=float, default=1.0, help="of few-step's corrections; below 1 is nearer the mean")
    parser.add_argument("--picture", type=Path, required=True, help="a real picture to check the graphs on")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    is_few = arguments.objective == "few-step"
    if is_few != (arguments.mean is not None):
        parser.error("few-step needs --mean, and epsilon takes none")
    autoencoder = GreyAutoencoder(arguments.channels)
    autoencoder.load_state_dict(_weights(arguments.autoencoder))
    unet = UNetLite(arguments.channels, predicts_x0=is_few)
    unet.load_state_dict(_weights(arguments.unet))
    unet.gain.mul_(arguments.gain)
    mean = MeanEnlarger.read(arguments.mean) if is_few else None
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, part in parts(autoencoder, unet, mean, read_grey(arguments.picture)).items():
        path = arguments.out / f"{name}.onnx"
        difference = export(part, path)
        print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB, differs from torch by {difference:.1e}")
    config = FEW_STEP_SCHEDULE if is_few else EPSILON_SCHEDULE
    (arguments.out / "scheduler_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
