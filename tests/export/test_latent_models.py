"""The networks of the X-ray latent diffusion, and their exported graphs against torch."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from edgesr.bench.metrics import grid_index  # noqa: E402
from edgesr.compile.graph import Graph  # noqa: E402
from edgesr.compile.roles import find_roles  # noqa: E402
from edgesr.schedule import ScheduleConfig  # noqa: E402
from export import graph_diffusion  # noqa: E402
from export.models.autoencoder import GreyAutoencoder, klt  # noqa: E402
from export.models.cascade import MeanEnlarger  # noqa: E402
from export.models.unet_lite import TIME_EMBEDDING, UNetLite  # noqa: E402


def _radiograph(side: int = 256) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    noise = np.random.default_rng(0).normal(0, 3, (side, side))
    ribs = 50 * np.clip(np.sin(20 * y + 3 * np.cos(4 * x)) * 3, -1, 1)
    return np.clip(np.rint(120 + 80 * np.sin(3 * x) * np.cos(2 * y) + ribs + noise), 0, 255).astype(np.uint8)


def _random(unet: UNetLite) -> UNetLite:
    """Fill what starts at zero, so that the whole network counts."""
    generator = torch.Generator().manual_seed(0)
    for parameter in unet.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, 0, 0.05, generator=generator)
    return unet


@pytest.fixture(scope="module")
def autoencoder() -> GreyAutoencoder:
    torch.manual_seed(0)
    network = GreyAutoencoder(8)
    network.begin(*klt([_radiograph()]))
    return network.eval()


def test_the_noise_network_has_the_published_shape_and_count() -> None:
    unet = UNetLite()
    assert sum(p.numel() for p in unet.parameters()) == 813_220
    assert (unet.stem.in_channels, unet.head.out_channels, TIME_EMBEDDING) == (8, 4, 256)


def test_the_noise_network_takes_other_latents_for_a_few_more_parameters() -> None:
    latent = torch.zeros(1, 8, 8, 12)
    unet = UNetLite(8)
    assert unet(latent, latent, torch.tensor([7.0])).shape == latent.shape
    assert sum(p.numel() for p in unet.parameters()) == 813_220 + 8 * 9 * 32 + 4 * (9 * 32 + 1)


def test_an_untrained_clean_prediction_is_the_condition() -> None:
    state, condition = torch.randn(2, 2, 8, 8, 8)
    torch.testing.assert_close(UNetLite(8, predicts_x0=True)(state, condition, torch.tensor([1.0])), condition)


def test_the_prediction_depends_on_state_condition_and_timestep() -> None:
    torch.manual_seed(0)
    unet = _random(UNetLite())
    state, condition = torch.randn(2, 1, 4, 8, 8)
    times = torch.tensor([1.0]), torch.tensor([200.0])
    with torch.no_grad():
        first = unet(state, condition, times[0])
        others = unet(state, condition, times[1]), unet(condition, condition, times[0]), unet(state, state, times[0])
    assert all((first - other).abs().max() > 1e-3 for other in others)


def test_a_block_transform_with_all_sixteen_channels_loses_nothing() -> None:
    picture = _radiograph(64)
    network = GreyAutoencoder(16)
    network.begin(*klt([picture]))
    image = torch.from_numpy(picture)[None, None].float() / 127.5 - 1
    with torch.no_grad():
        latent = network.encode(image)
        torch.testing.assert_close(network.decoder(latent), image, atol=1e-5, rtol=0)
    deviations = latent.numpy().std((0, 2, 3))
    np.testing.assert_allclose(deviations, 1, atol=1e-3)


def test_the_block_transform_keeps_the_directions_that_scikit_finds(autoencoder: GreyAutoencoder) -> None:
    picture = _radiograph()
    blocks = picture.reshape(64, 4, 64, 4).transpose(0, 2, 1, 3).reshape(-1, 16) / 255
    kept = np.linalg.svd(blocks - blocks.mean(0), full_matrices=False)[2][:8]
    best = blocks.mean(0) + (blocks - blocks.mean(0)) @ kept.T @ kept
    image = torch.from_numpy(picture)[None, None].float() / 127.5 - 1
    with torch.no_grad():
        found = (autoencoder.decoder(autoencoder.encode(image)) + 1) / 2
    np.testing.assert_allclose(
        found[0, 0].numpy().reshape(64, 4, 64, 4).transpose(0, 2, 1, 3).reshape(-1, 16), best, atol=1e-5
    )


@pytest.mark.parametrize("objective", ["few-step", "epsilon"])
def test_exported_parts_equal_torch_and_show_their_roles(
    objective: str, autoencoder: GreyAutoencoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    mean = MeanEnlarger("cxr-x4-fast").eval().requires_grad_(False) if objective == "few-step" else None
    unet = _random(UNetLite(8, predicts_x0=mean is not None))
    parts = graph_diffusion.parts(autoencoder, unet, mean, _radiograph())
    for name, part in parts.items():
        assert graph_diffusion.export(part, tmp_path / f"{name}.onnx") < graph_diffusion.TOLERANCE
    roles = find_roles(Graph.read(tmp_path / "unet.onnx"))
    assert (roles.state, roles.timestep, roles.conditions) == ("state", "timestep", ("condition",))
    assert roles.channels == 8
    encoder = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    side = 40 if objective == "few-step" else 160
    (latent,) = encoder.run(None, {"image": np.zeros((1, 1, side, side), np.float32)})
    assert latent.shape == (1, 8, 40, 40)


class _SizeIsFrozen(torch.nn.Module):
    """What tracing makes of a branch on the size: the example's branch, at every size."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return latent * (1.0 if latent.shape[-1] <= 40 else 2.0)


def test_a_graph_that_differs_from_torch_at_another_size_is_refused(tmp_path: Path) -> None:
    feeds = [{"latent": torch.rand(1, 8, side, side)} for side in (64, 48)]
    with pytest.raises(ValueError, match=r"decoder\.onnx differs from torch by"):
        graph_diffusion.export(graph_diffusion.Part(_SizeIsFrozen(), feeds, "image"), tmp_path / "decoder.onnx")


@pytest.mark.parametrize("document", [graph_diffusion.EPSILON_SCHEDULE, graph_diffusion.FEW_STEP_SCHEDULE])
def test_the_written_schedules_are_read_again_without_loss(document: dict[str, object]) -> None:
    config = ScheduleConfig.from_json(json.loads(json.dumps(document)), source="test")
    assert all(getattr(config, key) == value for key, value in document.items() if not key.startswith("_"))


def test_a_checkpoint_of_diffusers_takes_the_place_of_our_autoencoder(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    from export.models.autoencoder_kl import DiffusersAutoencoder

    torch.manual_seed(0)
    original = diffusers.AutoencoderKL(block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2,
                                       up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4)  # fmt: skip
    original.save_pretrained(tmp_path)
    found = DiffusersAutoencoder.read(tmp_path)
    grey = torch.rand(1, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        latent = found.encode(grey)
        expected = original.eval().encode(grey.repeat(1, 3, 1, 1)).latent_dist.mode() * 0.18215
        torch.testing.assert_close(latent, expected)
        picture = original.decode(expected / 0.18215).sample.mean(1, keepdim=True)
        torch.testing.assert_close(found.decode(latent), picture)
    assert found.channels == 4


def test_decoding_draws_no_lattice_of_the_blocks(autoencoder: GreyAutoencoder) -> None:
    picture = _radiograph()
    wave = np.tile(np.array([[6.0, -2, -2, -2]] * 4), (64, 64))
    assert grid_index(picture + wave) > 50 * grid_index(picture)
    image = torch.from_numpy((picture + wave).astype(np.float32))[None, None] / 127.5 - 1
    assert grid_index((autoencoder.filter(image)[0, 0].numpy() + 1) * 127.5) < 2 * grid_index(picture)
