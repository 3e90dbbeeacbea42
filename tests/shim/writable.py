"""Which properties of NVIDIA's bindings can be assigned, found in the bindings themselves.

    python -m tests.shim.fetch FOLDER && python -m tests.shim.writable FOLDER

Writes tests/data/tensorrt_writable.json. A docstring does not tell a property that can be assigned from one that
cannot.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.shim.library import load

DATA = Path(__file__).parents[1] / "data"


def writable(module: Any, classes: list[str]) -> dict[str, list[str]]:
    """Return the properties with a setter by class; classes without any are left out."""
    found = {}
    for name in sorted(set(classes) & set(vars(module))):
        members = vars(getattr(module, name)).items()
        found[name] = sorted(key for key, value in members if isinstance(value, property) and value.fset is not None)
    return {name: names for name, names in found.items() if names}


def main(bindings: Path) -> None:
    """Print what one version lets assign; one version is loaded per process."""
    with tempfile.TemporaryDirectory() as scratch:
        module, _ = load(bindings, Path(scratch))
        api = json.loads((DATA / "tensorrt_api" / f"{module.__version__}.json").read_text())
        sys.stdout.write(json.dumps(writable(module, api["classes"])))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if (folder / "tensorrt_bindings").is_dir():
        main(folder)
    else:
        told = {}
        for version in sorted(path.name for path in folder.iterdir()):
            command = [sys.executable, "-m", "tests.shim.writable", str(folder / version)]
            told[version] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        (DATA / "tensorrt_writable.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
