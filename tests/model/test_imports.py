from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import edgesr.model

FOLDER = Path(edgesr.model.__file__).parent
LOADED = "import sys, edgesr.model; print(*sys.modules)"


def test_importing_edgesr_model_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    heavy = {"numpy", "onnx", "onnxruntime", "google", "edgesr.model.probing", "edgesr.model.receptive_field"}
    assert not heavy & set(done.stdout.split())


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_only_one_file_knows_onnx_and_none_knows_a_runtime() -> None:
    files = {path.name: imports(path) for path in FOLDER.glob("*.py")}
    users = {name for name, modules in files.items() if {"onnx", "google.protobuf.message"} & modules}
    assert users == {"onnx_file.py"}
    everything = set().union(*files.values())
    assert not {name for name in everything if name.split(".")[0] in ("onnxruntime", "tensorrt", "torch", "pickle")}
    own = {name for name in everything if name.startswith("edgesr.")}
    assert {name for name in own if not name.startswith("edgesr.model.")} <= {"edgesr.errors", "edgesr.types"}


def test_the_public_names_exist() -> None:
    assert sorted(edgesr.model.__all__) == sorted(set(edgesr.model.__all__))
    for name in edgesr.model.__all__:
        assert getattr(edgesr.model, name) is not None
