"""The house rules that code can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgesr

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgesr"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A part may import itself and what stands in its set. This is the picture in the README's architecture section.
BASE = {"errors", "types"}
ALLOWED = {
    "errors": set(),
    "types": set(),
    "model": BASE,
    "image": BASE,
    "schedule": BASE,
    "device": BASE,
    "engines": BASE | {"device"},
    "compile": BASE | {"model", "image", "schedule", "device", "engines"},
    "pipelines": BASE | {"model", "image", "schedule", "device", "engines", "compile"},
    "bench": BASE | {"model", "image", "schedule", "device", "engines", "compile", "pipelines", "__init__"},
    "tune": BASE | {"model", "image", "schedule", "device", "engines", "pipelines", "bench"},
    "media": BASE | {"model", "image", "device", "pipelines"},
    "doctor": BASE | {"model", "image", "device", "engines", "media"},
    "cli": BASE
    | {"model", "image", "schedule", "device", "engines", "compile", "pipelines", "media", "bench", "tune", "doctor"}
    | {"__init__"},
    "__init__": BASE | {"pipelines", "media"},
    "__main__": {"cli"},
}

# Libraries that are large, optional or a device's own: imported inside functions, in the named files alone.
HOMES = {
    "PIL": {"image/pillow.py", "image/draw.py"},
    "pydicom": {"image/dicom.py"},
    "onnx": {
        "model/onnx_file.py",
        "compile/graph.py",
        "compile/nodes.py",
        "compile/signatures.py",
        "compile/checks.py",
        "compile/join.py",
    },
    "onnxsim": {"compile/simplify.py"},
    "onnxruntime": {"engines/ort.py"},
    "openvino": {"engines/openvino.py"},
    "tensorrt": {"engines/trt_api.py"},
    "pycocotools": {"bench/metrics/boxes.py"},
    "tqdm": {"cli/progress.py"},
    "av": {"media/av_io.py"},
    "ray": {"cli/ray_cluster.py"},
}
NEVER = {"cv2", "torch", "torchvision", "diffusers", "timm", "export", "benchmarks", "tests", "pickle"}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every absolute name that a file imports, and whether it does so when it is itself imported."""
    found = []

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path.name}:{child.lineno} imports relatively"
                found.extend((f"{child.module}.{alias.name}", top) for alias in child.names)
            visit(child, top and not late)

    visit(ast.parse(path.read_text()), True)
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_in_one_direction(path):
    part = part_of(path)
    assert part in ALLOWED, f"give {part} a place in the architecture"
    for name, _ in imports(path):
        if name.split(".")[0] != "edgesr":
            continue
        rest = name.split(".")[1:]
        target = rest[0] if (PACKAGE / rest[0]).exists() or (PACKAGE / f"{rest[0]}.py").exists() else "__init__"
        assert target == part or target in ALLOWED[part], f"{part} must not import {target}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_late_and_at_home(path):
    for name, at_import in imports(path):
        library = name.split(".")[0]
        assert library not in NEVER
        if library in HOMES:
            assert str(path.relative_to(PACKAGE)) in HOMES[library], f"{library} is imported away from home"
            assert not at_import, f"{library} is imported with the module"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_have_one_subject_of_readable_length(path):
    assert len(path.read_text().splitlines()) <= 260


def test_all_names_what_the_package_offers():
    offered = {name for name in dir(edgesr) if not name.startswith("_") or name == "__version__"}
    submodules = {path.stem for path in PACKAGE.iterdir()}
    assert set(edgesr.__all__) == {n for n in offered if n not in submodules | {"annotations", "TYPE_CHECKING", "Any"}}
    assert edgesr.__all__ == sorted(edgesr.__all__)
    for name in edgesr.__all__:
        assert getattr(edgesr, name) is not None


def test_the_package_has_no_other_attribute():
    with pytest.raises(AttributeError, match="no attribute 'loud'"):
        _ = edgesr.loud  # type: ignore[attr-defined]


def test_importing_edgesr_loads_no_library_at_all():
    code = "import sys, edgesr, edgesr.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & ({"numpy"} | set(HOMES) | NEVER - {"pickle"})


def test_running_a_picture_loads_no_torch(tmp_path):
    code = (
        "import sys, numpy as np, edgesr, edgesr.image\n"
        "with edgesr.load('cxr-x4-fast') as up: up(np.zeros((8, 8), np.uint8))\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "torchvision", "onnx", "pydicom", "tqdm"}


def test_nothing_in_the_tree_names_a_machine_or_a_registry():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout")
    forbidden = [
        "/" + "work/",
        "/" + "tmp/pkg",
        "pypi" + ".org",
        "files.python" + "hosted",
        "deb.deb" + "ian",
        "registry." + "npmjs",
    ]
    for name in files.stdout.split("\n"):
        path = ROOT / name
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".json", ".yaml", ".sh", ""):
            text = path.read_text(errors="ignore")
            assert not [word for word in forbidden if word in text], name
