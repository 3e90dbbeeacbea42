"""``edgesr`` in processes of its own, as a stranger runs it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT

_PROBE = "import json, onnxruntime, platform; print(json.dumps([platform.python_version(), onnxruntime.__version__]))"


class Stranger:
    """Run ``edgesr`` with an interpreter of your choice; caches lie below ``folder``, which errors do not name."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self._environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}

    def versions(self) -> list[str]:
        """Return the versions of Python and ONNX Runtime."""
        found: list[str] = json.loads(self._call("-c", _PROBE).stdout)
        return found

    def inspect(self, model: Path) -> dict[str, Any]:
        """Return what edgesr finds in an ONNX file."""
        document = json.loads(self._call("-m", "edgesr", "inspect", str(model), "--json").stdout)
        expects = document.get("input", {})
        return {
            "layout": expects.get("layout", "NCHW"),
            "range": expects.get("range", [0, 1]),
            "output_range": document.get("output_range", [0, 1]),
            "scale": document["scale"],
            "size": document.get("size", {}),
            "receptive_field": document.get("receptive_field"),
        }

    def run(self, source: Path, model: Path, target: Path, flags: tuple[str, ...] = ()) -> tuple[str, str]:
        """Enlarge a file or folder; return what edgesr said about the network, and the error, empty when none."""
        result = self._call("-m", "edgesr", "run", str(source), "-m", str(model), "-o", str(target), *flags)
        text = result.stderr.strip().replace(f"{self._folder}/", "")
        if result.returncode == 0:
            return text, ""
        return "", text or f"ended by signal {-result.returncode}"

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._python, *words], cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
