"""``python -m export evaluate`` on pictures, tables and models that are whole, broken or missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesr.image import Picture, write
from edgesr.model import pack
from edgesr.pipelines.load import cpu_probe
from export.__main__ import main
from tests import networks

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quiet_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write four grey references, their patients and sexes, and a model that enlarges two times."""
    lines = ["file,sex,patient"]
    random = np.random.default_rng(0)
    for number in range(4):
        smooth = random.normal(0, 1, (24, 28)).repeat(4, 0).repeat(4, 1).cumsum(0).cumsum(1)
        pixels = np.rint(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
        (tmp_path / "hr").mkdir(exist_ok=True)
        write(tmp_path / "hr" / f"{number}.png", Picture((pixels[..., None],)))
        lines.append(f"hr/{number}.png,{'FM'[number % 2]},p{number // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    networks.convolution_x(tmp_path / "x2.onnx", scale=2)
    return tmp_path


def run(capsys: Capture, *words: Any) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, words), "--device", "cpu"])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_restoration_is_compared_with_bicubic_in_a_table_by_groups(data: Path, capsys: Capture) -> None:
    code, out, err = run(
        capsys, data / "x2.onnx", "--images", data / "hr", "--labels", data / "labels.csv", "--groups", "sex"
    )
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["mean", "over", "pictures", "PSNR↑"]
    assert any(line.startswith("bicubic ") for line in lines)
    assert "border 2 pixels, channel rgb, data range: full scale of the file's dtype, low resolution: cubic" in out
    assert "by sex" in out and "largest gap" in out
    assert "no lpips: needs an LPIPS network" in out
    assert "no ms_ssim: MS-SSIM needs 161 pixels" in out


def test_json_holds_every_picture_and_is_strict(data: Path, capsys: Capture) -> None:
    target = data / "result.json"
    words = ["--images", data / "hr", "--labels", data / "labels.csv", "--groups", "sex", "--no-baseline", "-o", target]
    code, out, _ = run(capsys, data / "x2.onnx", *words, "--downscale", "area", "--json")
    assert code == 0

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(out, parse_constant=refuse)
    assert document == json.loads(target.read_text())
    (model,) = document["models"]
    assert model["options"]["low_resolution"] == ["area"]
    assert [row["groups"]["sex"] for row in model["pictures"]] == ["F", "M", "F", "M"]
    psnr = [row["psnr"] for row in model["pictures"]]
    assert model["mean"]["psnr"] == pytest.approx(np.mean(psnr))
    table = next(t for t in model["groups"] if t["metric"] == "psnr")
    assert table["groups"]["F"]["value"] == pytest.approx((psnr[0] + psnr[2]) / 2)
    assert table["groups"]["F"]["clusters"] == 2
    assert document["data"]["labels"] == str(data / "labels.csv")


def test_a_broken_picture_and_a_broken_model_are_named_and_the_rest_is_measured(data: Path, capsys: Capture) -> None:
    (data / "hr" / "2.png").write_bytes(b"nothing")
    (data / "bad.onnx").write_bytes(b"nothing")
    code, out, err = run(capsys, data / "x2.onnx", data / "bad.onnx", "--images", data / "hr", "--json")
    document = json.loads(out)
    assert code == 6
    assert [model["options"]["pictures"] for model in document["models"]] == [3, 3]
    assert list(document["failed_models"]) == [str(data / "bad.onnx")]
    assert "2.png" in document["models"][1]["failures"]["2"]
    assert "Traceback" not in err and "export: 2: " in err


def test_the_distance_to_the_fp32_model_is_infinite_for_itself(data: Path, capsys: Capture) -> None:
    words = ["--images", data / "hr", "--fp32", data / "x2.onnx", "--no-baseline", "--metrics", "psnr_fp32,psnr"]
    code, out, _ = run(capsys, data / "x2.onnx", *words)
    assert code == 0
    assert out.splitlines()[1].split()[-2:] == ["equal", "4"]


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ([], "there are no pictures", 2),
        (["--images", "{hr}", "--lr", "{hr}"], "give either pictures whose low resolution is made", 2),
        (["--images", "{hr}", "--metrics", "psnr,sim"], "there is no metric 'sim'", 2),
        (["--images", "{hr}", "--groups", "sex"], "name columns of a table; give it with --labels", 2),
        (["--images", "{hr}", "--labels", "{labels}", "--groups", "age"], "has no column 'age'", 2),
        (["--images", "{hr}", "--lpips", "none.onnx"], "none.onnx: there is no such LPIPS network", 3),
        (["--images", "{hr}", "--lpips", "{x2}"], "has the inputs image, reference", 3),
        (["--images", "nowhere/*.png"], "no file matches", 6),
        (["--images", "{hr}", "--limit", "0"], "must be at least 1, got 0", 2),
        (["--images", "{hr}", "--border", "60"], "leaves nothing of 112 x 96", 2),
        (["--images", "{hr}", "--control", "fidelity"], "--control needs NAME=VALUE", 2),
        (["--images", "{hr}", "--score", "0.5"], "a score threshold is for boxes", 2),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    data: Path, capsys: Capture, words: list[str], message: str, code: int
) -> None:
    places = {"hr": data / "hr", "labels": data / "labels.csv", "x2": data / "x2.onnx"}
    found, out, err = run(capsys, data / "x2.onnx", *[word.format(**places) for word in words])
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.strip().splitlines()) <= 2 and "Traceback" not in err


def test_a_classifier_gets_a_table_with_the_representation_ratio(data: Path, capsys: Capture) -> None:
    overrides = {"task": "classify", "labels": ["r", "g", "b"], "input": {"range": [0, 1], "mean": [0], "std": [1]}}
    network = networks.color_classifier(data / "c.onnx")
    pack(network, data / "c.edgesr", name="c", version="1", overrides=overrides, probe=cpu_probe)
    lines = ["file,finding,sex"]
    for number, (shown, true) in enumerate(((0, "r"), (1, "g"), (2, "b"), (0, "g"))):
        pixels = np.zeros((20, 20, 3), np.uint8)
        pixels[..., shown] = 200
        (data / "pictures").mkdir(exist_ok=True)
        write(data / "pictures" / f"{number}.png", Picture((pixels,)))
        lines.append(f"{number}.png,{true},{'FFMM'[number]}")
    (data / "t.csv").write_text("\n".join(lines))
    words = ["--images", data / "pictures", "--labels", data / "t.csv", "--groups", "sex", "--label-column", "finding"]
    code, out, _ = run(capsys, data / "c.edgesr", *words)
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["top1"][1] == "0.7500"
    assert rows["F"][1:] == ["1.0000", "1.000..1.000", "1.333", "2", "2"]
    assert rows["M"][1] == "0.5000" and rows["M"][-3] == "0.667"
    code, _, err = run(capsys, data / "c.edgesr", "--images", data / "pictures")
    assert code == 2 and "give --labels, a table with a column of classes" in err
