"""The wheel: what is in it, and the README's commands run from it, away from the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import networks

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which only the installed wheel is found."""
    site = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    home = tmp_path_factory.mktemp("home")
    return {
        **os.environ,
        "PYTHONPATH": str(site),
        "PATH": f"{site / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
    }


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the files that the README's commands name."""
    example = ROOT / "examples" / "chest_xray.png"
    (tmp_path / "pictures").mkdir()
    for name in ("xray.png", "photo.png", "pictures/one.png"):
        shutil.copy(example, tmp_path / name)
    networks.convolution_x(tmp_path / "theirs.onnx", channels=3)
    return tmp_path


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in names if not re.match(r"edgesr-[^/]*\.dist-info/", name)}
    tracked = subprocess.run(["git", "ls-files", "edgesr"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    assert inside == set(tracked.stdout.split())
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert {"edgesr/models/cxr-x4.edgesr", "edgesr/models/cxr-x4-fast.edgesr", "edgesr/py.typed"} <= inside
    assert "edgesr/models/cxr-x4-diffusion.edgesr" in inside
    assert all(zipfile.ZipFile(wheel).getinfo(n).file_size < 12_000_000 for n in inside if n.endswith(".edgesr"))


def test_the_wheel_brings_nothing_that_jetpack_has_of_its_own(wheel):
    metadata = zipfile.ZipFile(wheel)
    (name,) = (n for n in metadata.namelist() if n.endswith("METADATA"))
    required = [line for line in metadata.read(name).decode().splitlines() if line.startswith("Requires-Dist")]
    always = [line for line in required if "extra ==" not in line]
    assert always
    assert not [line for line in always if re.search(r"opencv|tensorrt|cuda|torch", line)]


def console_blocks() -> list[list[str]]:
    """The commands of every ``console`` block, each block to be run in order."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in blocks]


@pytest.mark.parametrize("commands", console_blocks(), ids=lambda block: block[0])
def test_the_readme_commands_run_as_written(commands, installed, workplace):
    assert commands
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=workplace, env=installed, capture_output=True, text=True, check=False
        )
        # A machine without everything, and one that is too busy to be measured, are no faults of the commands.
        others = {"edgesr doctor": 3, "edgesr bench cxr-x4-fast --duration 2s -o bench.json --html bench.html": 7}
        accepted = (0, others.get(command, 0))
        assert done.returncode in accepted, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr


def test_the_readme_python_example_runs(installed, workplace):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=workplace,
        env=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (workplace / "from_python.png").is_file()


def test_the_example_is_run_from_the_wheel_not_the_checkout(installed, workplace):
    code = "import edgesr; print(edgesr.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workplace, env=installed, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(installed["PYTHONPATH"])
