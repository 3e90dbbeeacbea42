"""The papers' tables: what is published stands apart from what was measured; pictures are made as the paper says."""

import numpy as np
import pytest

from benchmarks.environment import Environment
from benchmarks.papers.architectures import Row
from benchmarks.papers.command import Results
from benchmarks.papers.networks import ARCHITECTURES, UNET_LITE
from benchmarks.papers.published import PARAMETERS, XRAY
from benchmarks.papers.quality import Measured, make_pairs
from benchmarks.papers.report import SEPARATOR, render
from edgesr.bench.pairs import read_picture
from edgesr.errors import InputError
from edgesr.image import Picture, to_float, write
from edgesr.image.resample import downscale

ENVIRONMENT = Environment("2026-11-21", "a machine", "x86_64-2c-amd", "Linux 6", {"numpy": "2.0"}, "abc123", 0.0)


def results(**values):
    quality = [Measured("cxr-x4", {"psnr": 31.25, "ssim": 0.91}, 4, [0.5, 0.5])]
    row = Row(UNET_LITE, "X-ray", "1 x 4", 813_220, 1_500_000, 3_300_000, {"ONNX Runtime": [0.01]}, {})
    return Results(**{**vars(Results(ENVIRONMENT, 2, 0.1, "4 pictures", quality, [row], {})), **values})


def cells(text, start):
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_no_line_mixes_what_is_published_with_what_was_measured():
    text = render(results())
    head = cells(text, "| data |")
    border = head.index(SEPARATOR)
    assert [cell for cell in head if "published" in cell] == [head[2]]
    assert [cell for cell in head if "here" in cell] == [head[border + 1]]
    for one in XRAY:
        line = cells(text, f"| {one.data} | {one.method} |")
        assert line[2] == f"{one.psnr:.2f}"
        assert set(line[border + 1 :]) == {"-"}
    ours = cells(text, "| the pictures given |")
    assert set(ours[2:border]) == {"-"}
    assert ours[border + 1 :] == ["31.25", "0.9100", "-", "0.500 (0.500 - 0.500)"]


def test_what_is_not_published_is_said_to_be_unknown():
    text = render(results())
    assert cells(text, "| X-ray |")[2] == f"{PARAMETERS[UNET_LITE]:,}"
    other = Row("EDSR-baseline x4", "SR4IR", "1 x 3", 1, 1, 1, {}, {"PyTorch eager": "no torch"})
    text = render(results(rows=[other]))
    assert cells(text, "| SR4IR |")[2] == "not known here"
    assert "* PyTorch eager: no torch" in text


def test_the_pictures_are_made_as_the_paper_makes_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (290, 300, 1)).astype(np.uint8)
    (tmp_path / "x").mkdir()
    write(tmp_path / "x" / "a.png", Picture((pixels,)))
    assert make_pairs(tmp_path / "x", tmp_path, 3) == (1, 18)
    low, high = (read_picture(tmp_path / name / "a.png") for name in ("low", "high"))
    assert (low.shape, high.shape) == ((18, 18, 1), (72, 72, 1))
    expected = downscale(to_float(pixels[:288, :288]), 16, "cubic").clip(0, 1) * 255
    assert np.abs(low - expected).max() <= 0.5 + 1e-3


def test_pictures_that_are_too_small_are_refused(tmp_path):
    write(tmp_path / "a.png", Picture((np.zeros((100, 100, 1), np.uint8),)))
    with pytest.raises(InputError, match="too few"):
        make_pairs(tmp_path, tmp_path / "out", 1)


def test_the_halves_of_autoencoderkl_are_the_whole_of_it():
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    import torch

    with torch.device("meta"):
        halves = [ARCHITECTURES[f"{part} of AutoencoderKL"].build() for part in ("encoder", "decoder")]
    counts = [sum(parameter.numel() for parameter in half.parameters()) for half in halves]
    assert sum(counts) == 83_653_863  # as stabilityai/sd-vae-ft-mse counts them
    assert halves[1](torch.zeros(1, 4, 32, 32, device="meta")).shape == (1, 3, 256, 256)


def test_every_family_of_the_papers_has_a_network():
    assert {entry.paper for entry in ARCHITECTURES.values()} == {
        "U-Net upscaler (CNN-ViT)", "SR4IR", "RRDB CNN / GAN", "prior-guided faces", "X-ray latent diffusion",
    }  # fmt: skip
