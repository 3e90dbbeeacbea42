from __future__ import annotations

import re
from pathlib import Path

from edgesr.model import ModelDescriptor
from edgesr.model.schema import load

PAGE = (Path(__file__).parents[2] / "docs" / "model-package.md").read_text("utf-8")


def test_the_example_of_the_manual_is_valid_and_complete() -> None:
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    descriptor = ModelDescriptor.from_json(example[1], source="docs/model-package.md")
    assert descriptor.controls["fidelity"].choices == {"sharp": (0.0,), "faithful": (1.0,)}


def test_the_manual_names_every_field() -> None:
    schema = load()
    objects = [schema, *schema["properties"].values(), *schema["$defs"].values()]
    fields = {name for entry in objects for name in entry.get("properties", {})}
    assert not {name for name in fields if f"`{name}`" not in PAGE}
