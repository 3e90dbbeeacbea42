"""Damaged and strange models: they run, or there is one line."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

from edgesr.image import read
from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.cli.mutations import bounded_memory, damaged
from tests.cli.pictures import picture

COUNT = 60


def models_of(call: Call, folder: Path, suffix: str, contents: Iterator[bytes]) -> None:
    """Hold the promises for damaged models: they run, or there is one line and exit code 3."""
    source, model, target = picture(folder / "a.png"), folder / f"m{suffix}", folder / "b.png"
    with bounded_memory():
        for content in contents:
            model.write_bytes(content)
            answer = call("run", source, "-m", model, "-o", target, "--threads", "1")
            assert "Traceback" not in answer.err
            assert "internal error" not in answer.err, answer
            assert answer.code in (0, 2, 3, 6), answer
            if answer.code:
                assert answer.err.count("\n") == 1, answer
                assert answer.out == ""
                assert not target.exists()
            else:
                read(target)
            assert set(files(folder)) <= {"a.png", "b.png", model.name}
            target.unlink(missing_ok=True)


def test_damaged_packages(call: Call, models: Models, tmp_path: Path) -> None:
    content, rng = models.package.read_bytes(), random.Random(1)
    models_of(call, tmp_path, ".edgesr", (damaged(content, rng) for _ in range(COUNT * 2)))


def test_damaged_networks(call: Call, models: Models, tmp_path: Path) -> None:
    content, rng = models.onnx.read_bytes(), random.Random(2)
    models_of(call, tmp_path, ".onnx", (damaged(content, rng) for _ in range(COUNT)))


def test_strange_descriptors(call: Call, models: Models, tmp_path: Path) -> None:
    rng = random.Random(3)
    with zipfile.ZipFile(models.package) as archive:
        network, text = archive.read("network.onnx"), archive.read("model.json")

    def package() -> bytes:
        document = json.loads(text)
        for _ in range(rng.choice((1, 2))):
            _change(document, rng)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            descriptor = json.dumps(document).encode()
            archive.writestr("model.json", damaged(descriptor, rng) if rng.random() < 0.3 else descriptor)
            archive.writestr("network.onnx", network)
        return packed.getvalue()

    models_of(call, tmp_path, ".edgesr", (package() for _ in range(COUNT * 2)))


def _change(node: object, rng: random.Random) -> None:
    """Change one value, somewhere down from ``node``."""
    odd = (None, True, 0, -1, 3, 1e308, float("nan"), 2**70, "", "rgb", "\0", "../x", [], {}, [[[]]], "9" * 500)
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    if not keys:
        return
    key = rng.choice(list(keys))
    child = node[key]  # type: ignore[index]
    if isinstance(child, dict | list) and child and rng.random() < 0.6:
        _change(child, rng)
    elif isinstance(node, dict) and rng.random() < 0.2:
        del node[key]
    else:
        node[key] = rng.choice(odd)  # type: ignore[index]
