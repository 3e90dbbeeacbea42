"""Networks from elsewhere: their ONNX files against torch, and through the runtime as a stranger exports them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
Image = pytest.importorskip("PIL.Image")

import edgesr  # noqa: E402
from benchmarks.published_networks import export  # noqa: E402
from benchmarks.published_pictures import measure_quality, read_picture, to_grey  # noqa: E402
from benchmarks.published_variants import VARIANTS, SeededNetwork, run_directly, write_variant  # noqa: E402
from edgesr.cli import main  # noqa: E402
from export.models.imdn import Imdn  # noqa: E402
from export.models.rlfn import Rlfn, rlfn_ntire_x4, rlfn_s  # noqa: E402

ROOT = Path(__file__).parents[2]
SIZES = [(31, 46), (64, 40)]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Return a uint8 picture with colours, edges and fine texture, 46 x 61."""
    y, x = np.mgrid[:46, :61] / 61
    planes = [0.5 + 0.4 * np.sin(7 * x + shift) * np.cos(5 * y - shift) for shift in (0, 1, 2)]
    image = np.stack(planes, axis=2)
    image[10:20, 15:40] = (0.9, 0.2, 0.1)
    image[30:, 5:25] += 0.1 * np.random.default_rng(0).standard_normal((16, 20, 1))
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def seeded(network: torch.nn.Module, unit: float) -> torch.nn.Module:
    """Draw all weights anew, so that the output stays within the range [0, ``unit``] of the input."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            torch.nn.init.normal_(parameter, 0, (1 / fan_in) ** 0.5, generator=generator)
        else:
            torch.nn.init.normal_(parameter, 0, 0.01 * unit, generator=generator)
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight *= 0.05
        last.bias.fill_(unit / 2)
    return network.eval()


def test_networks_have_the_published_numbers_of_parameters() -> None:
    counts = [sum(p.numel() for p in network.parameters()) for network in (rlfn_ntire_x4(), rlfn_s(2), Imdn())]
    assert counts == [317_218, 454_620, 893_936]


@pytest.mark.parametrize(
    ("build", "unit"), [(rlfn_ntire_x4, 255.0), (lambda: Imdn(blocks=2), 1.0)], ids=["rlfn", "imdn"]
)
def test_exported_file_equals_torch_at_sizes_it_was_not_traced_at(build: object, unit: float, tmp_path: Path) -> None:
    network = seeded(build(), unit)
    export(network, tmp_path / "theirs.onnx", unit=unit)
    session = onnxruntime.InferenceSession(str(tmp_path / "theirs.onnx"), providers=["CPUExecutionProvider"])
    for size in SIZES:
        image = np.random.default_rng(1).random((1, 3, *size), dtype=np.float32) * np.float32(unit)
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        assert expected.std() > 1e-3 * unit
        np.testing.assert_allclose(session.run(None, {"input": image})[0], expected, atol=1e-5 * unit)


@pytest.mark.parametrize("unit", [1.0, 255.0])
def test_runtime_equals_torch_to_float_rounding(unit: float, picture: np.ndarray, tmp_path: Path) -> None:
    network = seeded(Rlfn(channels=16, inner=16, blocks=2, scale=4), unit)
    export(network, tmp_path / "theirs.onnx", unit=unit)
    pixels = picture.astype(np.float32) / np.float32(255)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels * np.float32(unit)).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    with edgesr.load(tmp_path / "theirs.onnx", "cpu", expects={"range": (0, unit)}) as restorer:
        ours = restorer(pixels)
    assert restorer.scale == 4
    np.testing.assert_allclose(ours, (expected / unit).clamp(0, 1).numpy(), atol=1e-5)  # each CPU sums in its own order


def test_a_network_that_pools_is_described_without_harm(tmp_path: Path) -> None:
    """At 8 pixels the attention's map is empty; ONNX Runtime then ends the process with SIGFPE."""
    export(seeded(Rlfn(channels=8, inner=8, blocks=1, scale=2), 1), tmp_path / "theirs.onnx", unit=1)
    code = "import edgesr; print(edgesr.load('theirs.onnx', 'cpu', expects={'range': (0, 1)}).descriptor.size)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "minimum=1," not in result.stdout


# Ranges that only a trained network betrays are left out: this one does the same to pictures in any range.
FORMS = [v for v in VARIANTS if v.dtype == "uint8" or v.values == (0, 1) or v.flags]


@pytest.mark.parametrize(
    "variant", [pytest.param(v, id=v.name, marks=pytest.mark.slow if v.dynamo else ()) for v in FORMS]
)
def test_every_form_of_a_network_gives_the_picture_of_onnxruntime_alone(
    variant: object, picture: np.ndarray, tmp_path: Path
) -> None:
    network = SeededNetwork(channels=3, scale=2)
    if variant.dynamo:
        pytest.importorskip("onnxscript")
    write_variant(network, tmp_path / "theirs.onnx", variant)
    Image.fromarray(picture).save(tmp_path / "low.png")
    _edgesr_run(tmp_path, *variant.flags)
    ours = read_picture(tmp_path / "high.png").astype(int)
    if variant.size is None:
        assert np.abs(ours - run_directly(tmp_path / "theirs.onnx", variant, picture)).max() <= 1
        return
    write_variant(network, tmp_path / "dynamic.onnx", VARIANTS[0])
    whole = run_directly(tmp_path / "dynamic.onnx", VARIANTS[0], picture)
    # Where the graph pads its tile with zeros, the runtime pads the picture by mirroring: only the border may differ.
    assert np.abs(ours - whole)[:-8, :-8].max() <= 1


def test_a_luma_network_enlarges_luma_and_leaves_colour_to_bicubic(picture: np.ndarray, tmp_path: Path) -> None:
    network = SeededNetwork(channels=1, scale=2)
    write_variant(network, tmp_path / "theirs.onnx", VARIANTS[0], channels=1)
    grey = picture[..., 1:2]
    Image.fromarray(grey[..., 0]).save(tmp_path / "low.png")
    _edgesr_run(tmp_path)
    ours = read_picture(tmp_path / "high.png", 1).astype(int)
    assert np.abs(ours - run_directly(tmp_path / "theirs.onnx", VARIANTS[0], grey)).max() <= 1
    weights = np.array([0.299, 0.587, 0.114])
    Image.fromarray(picture).save(tmp_path / "low.png")
    _edgesr_run(tmp_path)
    luma = read_picture(tmp_path / "high.png") @ weights
    with torch.no_grad():
        values = torch.from_numpy((picture @ weights / 255).astype(np.float32))[None, None]
        expected = network(values)[0, 0].clamp(0, 1).numpy() * 255
    inside = np.all(np.abs(read_picture(tmp_path / "high.png").astype(int) - 127.5) < 127, axis=2)
    assert inside.mean() > 0.9
    assert np.abs(luma - expected)[inside].max() <= 1


def test_quality_is_that_of_the_papers_protocol() -> None:
    truth = np.random.default_rng(0).integers(0, 255, (40, 44, 3), dtype=np.uint8)
    wrong = truth + np.uint8(1)
    wrong[:2], wrong[:, -2:] = 0, 255
    quality = measure_quality(wrong, truth, 2)
    assert quality.psnr == pytest.approx(20 * np.log10(255 / (219 / 255)), abs=1e-3)
    assert quality.ssim == pytest.approx(1, abs=1e-3)
    white = np.full((1, 1, 3), 255, np.uint8)
    assert (to_grey(white).item(), to_grey(white * 0).item()) == (235, 16)


def _edgesr_run(folder: Path, *flags: str) -> None:
    low, theirs, high = (str(folder / name) for name in ("low.png", "theirs.onnx", "high.png"))
    Path(high).unlink(missing_ok=True)
    assert main(["run", low, "-m", theirs, "-o", high, *flags]) == 0
