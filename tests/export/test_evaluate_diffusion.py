"""The evaluation of an exported latent diffusion walks the same steps as training's validation."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("scipy")

from edgesr.schedule import make_schedule  # noqa: E402
from export import evaluate_diffusion, graph_diffusion  # noqa: E402
from export.data.degradations import downscale  # noqa: E402
from export.evaluation import measurement_rms  # noqa: E402
from export.models.autoencoder import GreyAutoencoder, klt  # noqa: E402
from export.models.cascade import MeanEnlarger  # noqa: E402
from export.models.unet_lite import UNetLite  # noqa: E402
from export.recipes.latent_stages import FEW_STEP_SCHEDULE  # noqa: E402
from export.recipes.latent_validation import diffuse  # noqa: E402


def _radiograph(side: int = 256) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    noise = np.random.default_rng(0).normal(0, 3, (side, side))
    return np.clip(np.rint(120 + 80 * np.sin(9 * x) * np.cos(7 * y) + noise), 0, 255).astype(np.uint8)


def test_exported_steps_give_the_picture_of_the_torch_networks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    autoencoder = GreyAutoencoder(8)
    autoencoder.begin(*klt([_radiograph()]))
    unet = UNetLite(8, predicts_x0=True)
    torch.nn.init.normal_(unet.head.weight, 0, 0.05)
    mean = MeanEnlarger("cxr-x4-fast").eval().requires_grad_(False)
    for name, part in graph_diffusion.parts(autoencoder, unet, mean, _radiograph()).items():
        graph_diffusion.export(part, tmp_path / f"{name}.onnx")
    (tmp_path / "scheduler_config.json").write_text(json.dumps(FEW_STEP_SCHEDULE))
    exported = evaluate_diffusion.ExportedDiffusion(tmp_path, threads=1)
    low = downscale(_radiograph(128), "cubic")
    condition = exported.encode(low)
    sampling = evaluate_diffusion.Sampling("", make_schedule(exported.config, 4), seed=5)
    found = exported.sample(condition, sampling)
    with torch.no_grad():
        expected = diffuse(unet, autoencoder, sampling.schedule, torch.from_numpy(condition), seed=5)
    assert np.abs(np.clip(found, 0, 255) - expected).max() <= 0.51
    assert np.abs(found - exported.decode(condition)).max() > 1, "the steps must change the picture"


def test_a_projected_picture_agrees_with_what_was_measured() -> None:
    high = _radiograph(64)
    low = downscale(high, "cubic")
    wrong = np.clip(high + np.random.default_rng(1).normal(0, 10, high.shape), 0, 255)
    assert measurement_rms(wrong, low) > 3
    assert measurement_rms(evaluate_diffusion.project(wrong, low), low) < 0.5
