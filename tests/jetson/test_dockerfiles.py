"""The Dockerfiles copy what exists, install for their JetPack, and their shell is sound."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
FILES = ("Dockerfile.jetpack6", "Dockerfile.jetpack7")


def _steps(name: str) -> list[tuple[str, str]]:
    """Return instructions and arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "jetson" / name).read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_enough_to_build_the_package(name):
    sources = [word for key, value in _steps(name) if key == "COPY" for word in value.split()[:-1]]
    assert all((ROOT / source).exists() for source in sources)
    assert {"pyproject.toml", "README.md", "LICENSE", "edgesr"} <= set(sources)


@pytest.mark.parametrize("name", FILES)
def test_the_image_runs_edgesr_without_root_in_an_environment_that_sees_tensorrt(name):
    steps = dict(_steps(name))
    assert steps["USER"] == "edgesr"
    assert steps["ENTRYPOINT"] == '["edgesr"]'
    assert any("venv --system-site-packages" in value for key, value in _steps(name) if key == "RUN")


@pytest.mark.parametrize(("name", "numpy"), [(FILES[0], "<2"), (FILES[1], ">=1.26'")])
def test_numpy_suits_the_opencv_of_the_jetpack(name, numpy):
    assert any(numpy in value for key, value in _steps(name) if key == "RUN" and "pip install" in value)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("name", FILES)
def test_shellcheck_finds_nothing_in_the_steps(name):
    script = "\n".join(value for key, value in _steps(name) if key == "RUN")
    subprocess.run(["shellcheck", "--shell=sh", "-"], input=script, text=True, check=True)


@pytest.mark.parametrize("name", FILES)
def test_what_is_installed_encodes_shows_and_sends(name):
    """Orin Nano has no encoder of its own, so H.264 wants x264enc; FFV1, RTSP and windows have plugins of their own."""
    (install,) = [value for key, value in _steps(name) if key == "RUN" and "apt-get install" in value]
    for part in ("tools", "plugins-good", "plugins-bad", "plugins-ugly", "libav", "rtsp", "x"):
        assert f"gstreamer1.0-{part} " in install


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_the_package_lists_and_the_sources_stays_in_the_image(name):
    runs = [value for key, value in _steps(name) if key == "RUN"]
    assert all("rm -rf /var/lib/apt/lists/*" in value for value in runs if "apt-get update" in value)
    assert any("--no-cache-dir" in value and value.rstrip().endswith("rm -rf /src") for value in runs)


@pytest.mark.skipif(not shutil.which("hadolint", path=BIN), reason="hadolint is not installed (pip install .[lint])")
@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name):
    words = ["hadolint", "--failure-threshold", "warning", str(ROOT / "jetson" / name)]
    subprocess.run([shutil.which(words[0], path=BIN), *words[1:]], check=True)
