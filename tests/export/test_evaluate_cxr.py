"""Published figures of the X-ray models are of all pictures; the command that is quoted is the one that was run."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")
pytest.importorskip("onnx")

from export.evaluation import SETS
from export.facts_cxr import command, require_all_pictures
from export.pack_cxr import quality_rows
from export.recipes.cxr_settings import RECIPES


def _quality(pictures: int) -> dict[str, Any]:
    return {"nih-256 cubic": {"all": {"count": {"pictures": pictures}, "bicubic": {"psnr": 32.0}}}}


def test_figures_of_a_part_of_the_pictures_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / SETS["nih-256"].folder
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"0000000{number}_000.png").touch()
    require_all_pictures(_quality(4), tmp_path)
    with pytest.raises(ValueError, match=r"nih-256 cubic: measured on 2 of 4 pictures; run evaluate_cxr without"):
        require_all_pictures(_quality(2), tmp_path)


def test_a_package_says_how_many_pictures_each_figure_is_of() -> None:
    row = {"set": "nih-256 cubic", "group": "all", "method": "bicubic", "pictures": 4, "psnr": 32.0}
    assert quality_rows(_quality(4)) == [row]


def test_the_quoted_command_names_what_differs_from_the_recipe() -> None:
    recipe = RECIPES["cxr-x4"]
    assert command("cxr-x4", asdict(recipe), "").endswith("--model cxr-x4")
    used = asdict(replace(recipe, steps=2400, learning_rate=5e-4, seed=20261122))
    words = command("cxr-x4", used, "cxr-x4")
    assert words.endswith("--model cxr-x4 --steps 2400 --learning-rate 0.0005 --seed 20261122 --initial cxr-x4")
