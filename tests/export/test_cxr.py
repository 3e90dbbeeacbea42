"""The X-ray graph: consistency with the measured pixels, and the exported file against torch."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from export.data.degradations import downscale  # noqa: E402
from export.graph_cxr import export, run  # noqa: E402
from export.models.consistency import DataConsistency, Measurement, firm_threshold  # noqa: E402
from export.models.cxr import MODELS, CxrSuperResolution  # noqa: E402
from export.models.lattice import LatticeFilter  # noqa: E402
from export.models.resample import DEGRADATIONS, BicubicUpsampler, Downscalers  # noqa: E402

STEP = 1 / 255


def _radiograph(side: int = 96) -> np.ndarray:
    """Make a uint8 picture with smooth fields, sharp lines, noise, and saturated black and white."""
    y, x = np.mgrid[:side, :side] / side
    random = np.random.default_rng(0)
    ribs = 60 * np.clip(np.sin(9 * y + 3 * np.cos(4 * x)) * 3, -1, 1)
    image = 120 + 90 * np.sin(3 * x) * np.cos(2 * y) + ribs + random.normal(0, 4, (side, side))
    image[10:30, 60:80] = 255
    image[70:, :12] = 0
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _consistent(picture: np.ndarray, low: np.ndarray, name: str) -> np.ndarray:
    start, measured = (torch.from_numpy(a.astype(np.float32))[None, None] for a in (picture, low / 255))
    weights = torch.tensor([float(name == other) for other in DEGRADATIONS]).reshape(1, 3, 1, 1)
    return DataConsistency()(start, measured, weights, torch.tensor([STEP]))[0, 0].numpy()


@pytest.fixture(scope="module")
def network() -> CxrSuperResolution:
    torch.manual_seed(0)
    built = MODELS["cxr-x4-fast"]()
    for tail in (built.tail, built.detail.tail):
        torch.nn.init.normal_(tail.outputs.weight, 0, 0.02)
    return built.eval()


@pytest.fixture(scope="module")
def session(network: CxrSuperResolution, tmp_path_factory: pytest.TempPathFactory) -> object:
    path = tmp_path_factory.mktemp("graph") / "network.onnx"
    export(network, path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_cubic_residual_is_rounding_only_after_consistency() -> None:
    high = _radiograph()
    low = downscale(high, "cubic")
    wrong = np.clip(high / 255 + np.random.default_rng(1).normal(0, 0.05, high.shape), 0, 1)
    rounded = np.rint(_consistent(wrong, low, "cubic") * 255).astype(np.uint8)
    shrunk = cv2.resize(rounded.astype(np.float32), low.shape[::-1], interpolation=cv2.INTER_CUBIC)
    assert np.sqrt(np.square(np.clip(shrunk, 0, 255) - low).mean()) <= 0.45


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_truth_stays_and_consistency_brings_a_bicubic_picture_closer_to_it(name: str) -> None:
    high = _radiograph()
    low = downscale(high, name)
    kept = _consistent(high / 255, low, name)
    assert np.abs(kept * 255 - high).max() < 1.5  # Pillow rounds between its two passes
    bicubic = cv2.resize(low, high.shape[::-1], interpolation=cv2.INTER_CUBIC) / 255
    before, after = np.abs(bicubic - high / 255), np.abs(_consistent(bicubic, low, name) - high / 255)
    assert np.square(after).mean() <= np.square(before).mean() * 1.02


def test_firm_threshold_never_moves_away_from_any_value_inside_the_bounds() -> None:
    residual, bound = torch.linspace(-0.1, 0.1, 2001), torch.tensor(0.01)
    left = residual - firm_threshold(residual, -bound, bound)
    for inside in (-0.01, 0.0, 0.01):
        assert torch.all((left - inside).abs() <= (residual - inside).abs() + 1e-7)


def test_a_saturated_pixel_bounds_the_picture_from_one_side_only() -> None:
    image = torch.tensor([[[[0.0, 1.0, 0.5]]]])
    measurement = Measurement(Downscalers(), image, torch.zeros(1))
    beyond = measurement.misfit(torch.tensor([-0.1, 1.1, 0.5]).repeat_interleave(4).repeat(4, 1)[None, None])
    short = measurement.misfit(torch.tensor([0.1, 0.9, 0.5]).repeat_interleave(4).repeat(4, 1)[None, None])
    torch.testing.assert_close(beyond[0, 1], torch.zeros(1, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(short[0, 1], torch.tensor([[-0.1, 0.1, 0.0]]), atol=1e-6, rtol=0)


def test_the_network_listens_to_the_degradation(network: CxrSuperResolution) -> None:
    told = copy.deepcopy(network)
    for block in told.body:
        torch.nn.init.normal_(block.second.weight, 0, 0.1)
        for table in (block.bias, block.gain, block.share):
            torch.nn.init.normal_(table.table, 0, 0.1)
    image = torch.from_numpy(downscale(_radiograph(), "area").astype(np.float32) / 255)[None, None]
    shares = torch.eye(3)
    with torch.no_grad():
        means = [told.heads(image, row[None]).mean for row in shares]
        together = told.heads(image.expand(3, -1, -1, -1), shares).mean
    for index, mean in enumerate(means):
        torch.testing.assert_close(together[index], mean[0])
        assert (mean - means[index - 1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_what_makes_the_picture_sharp_gives_the_mean_no_gradient(name: str) -> None:
    network = MODELS[name]()
    for tail in (network.tail, network.detail.tail):
        torch.nn.init.normal_(tail.outputs.weight, 0, 0.1)
    heads = network.heads(torch.rand(1, 1, 8, 8), torch.tensor([[1.0, 0.0, 0.0]]))
    (heads.detail.square().mean() + heads.log_scale.square().mean()).backward()
    assert all(parameter.grad is None for parameter in network.mean_parameters())
    trained = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    assert trained and {name.split(".")[0] for name in trained} == {"detail"}


def test_lattice_filter_leaves_no_ghost_beside_a_film_edge_along_the_grid() -> None:
    image = torch.full((1, 1, 24, 24), 0.1)
    image[..., 12:] = 0.9
    truth = image.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert (LatticeFilter()(truth, image) - truth).abs().max() < 0.012


def test_lattice_filter_removes_a_lattice_and_leaves_slopes_and_edges() -> None:
    y, x = np.mgrid[:40, :48].astype(np.float32) / 40
    image = torch.from_numpy(0.3 + 0.4 * x + 0.2 * y)[None, None]
    smooth = BicubicUpsampler(a=-0.5)(image)
    lattice = torch.zeros(4, 4).index_fill_(1, torch.tensor([1]), 0.025).tile(40, 48)[None, None]
    edge = torch.zeros_like(smooth)
    edge[..., 90:] = 0.1
    clean = LatticeFilter()
    torch.testing.assert_close(clean(smooth, image), smooth)
    assert (clean(smooth + lattice, image) - smooth - lattice.mean()).abs().max() < 1e-4
    assert (clean(smooth + edge, image) - smooth - edge).abs().max() < 0.01


def test_a_smooth_false_blob_is_removed() -> None:
    high = _radiograph(128)
    low = downscale(high, "cubic")
    y, x = np.mgrid[:128, :128]
    blob = 20 / 255 * np.exp(-((y - 64.3) ** 2 + (x - 47.8) ** 2) / (2 * 3**2))
    left = _consistent(high / 255 + blob, low, "cubic") - _consistent(high / 255, low, "cubic")
    assert np.square(left).sum() <= 0.01 * np.square(blob).sum()


@pytest.mark.parametrize("size", [(24, 24), (37, 11), (1, 1), (2, 3)])
def test_exported_graph_equals_torch(network: CxrSuperResolution, session: object, size: tuple[int, int]) -> None:
    low = downscale(_radiograph(160), "cubic")[: size[0], : size[1]] / 255
    upscaled, scale = run(session, low, fidelity=0.3)
    dials = torch.tensor([0.3]), torch.tensor([1.0, 0.0, 0.0]), torch.ones(1), torch.tensor([STEP])
    with torch.no_grad():
        expected = network(torch.from_numpy(low.astype(np.float32))[None, None], *dials)
    assert upscaled.shape == (4 * size[0], 4 * size[1])
    np.testing.assert_allclose(upscaled, expected[0][0, 0].numpy(), atol=2e-6)
    np.testing.assert_allclose(scale, expected[1][0, 0].numpy(), atol=1e-6)
    assert upscaled.min() >= 0 and upscaled.max() <= 1 and scale.min() > 0


def test_an_untrained_network_is_bicubic_without_its_ripple() -> None:
    built = MODELS["cxr-x4"]()
    low = torch.from_numpy(downscale(_radiograph(), "cubic").astype(np.float32) / 255)[None, None]
    dials = torch.ones(1), torch.tensor([1.0, 0.0, 0.0]), torch.zeros(1), torch.zeros(1)
    with torch.no_grad():
        upscaled, _ = built(low, *dials)
    expected = cv2.resize(low[0, 0].numpy(), (96, 96), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    assert np.abs(upscaled[0, 0].numpy() - expected).mean() < 0.01  # the lattice filter takes out bicubic's own ripple


@pytest.mark.parametrize(("name", "limit"), [("cxr-x4", 1_500_000), ("cxr-x4-fast", 60_000)])
def test_networks_keep_their_size(name: str, limit: int) -> None:
    assert sum(p.numel() for p in MODELS[name]().parameters()) <= limit


@torch.no_grad()
def test_the_mean_alone_is_that_of_the_heads(network: CxrSuperResolution) -> None:
    image, shares = torch.rand(2, 1, 12, 9), torch.tensor([[0.2, 0.3, 0.5]])
    torch.testing.assert_close(network.mean(image, shares), network.heads(image, shares).mean, rtol=0, atol=0)
