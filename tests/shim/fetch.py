"""Download NVIDIA's bindings of every version that the tests know, for the tests on real bindings.

    python -m tests.shim.fetch FOLDER && EDGESR_TEST_BINDINGS=FOLDER pytest tests/engines/test_real_bindings.py

The wheels are NVIDIA's, under NVIDIA's licence, a megabyte each; none is part of edgesr.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

WHEELS = {
    "8.6.1": "tensorrt-bindings",
    "10.3.0": "tensorrt-cu12-bindings",
    "10.13.3.9": "tensorrt-cu12-bindings",
    "10.16.1.11": "tensorrt-cu12-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}


def fetch(folder: Path) -> list[str]:
    """Unpack what there is for this Python into a folder for each version; return what there is not."""
    missing = []
    for version, name in WHEELS.items():
        target = folder / version
        if (target / "tensorrt_bindings").is_dir():
            continue
        target.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run([*command, "--dest", target, f"{name}=={version}"], check=False)
        if done.returncode:
            missing.append(version)
            target.rmdir()
            continue
        for wheel in target.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(target)
            wheel.unlink()
    return missing


if __name__ == "__main__":
    absent = fetch(Path(sys.argv[1]))
    sys.exit(f"there are no bindings {', '.join(absent)} for this Python" if absent else 0)
