"""Results of an older exporter that are those of the present one, as both write the same network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edgesr.model import open_package

_EXPORT = """
import json, sys
from pathlib import Path
from tests.support.catalogue import FAMILIES
family = FAMILIES[sys.argv[1]]
task = getattr(family, "task", family)
why, _ = task.package(Path(sys.argv[2]) / "network.edgesr", lambda text: None)
print(json.dumps([why, family.sources()]))
"""


def is_same(name: str, sources: str, checkout: Path) -> str:
    """Export a family that labels pictures, or the task of a chain, by an older checkout and by this one.

    Return why results of ``sources`` do not hold any more, nothing where they do.
    """
    here = Path(__file__).parents[2]
    written = []
    with tempfile.TemporaryDirectory(prefix="edgesr-support-") as folder:
        for label, place in (("old", checkout), ("new", here)):
            target = Path(folder) / label
            target.mkdir()
            words = [sys.executable, "-c", _EXPORT, name, str(target)]
            environment = {**os.environ, "PYTHONPATH": str(place)}
            done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{label}: {done.stderr.strip().splitlines()[-1]}"
            why, found = json.loads(done.stdout.splitlines()[-1])
            if why or (label == "old" and found != sources):
                return why or f"{checkout} has the sources {found}, the results have {sources}"
            opened = open_package(target / "network.edgesr").descriptor
            written.append((opened.parts, opened.input, opened.prediction, opened.size))
    return "" if written[0] == written[1] else "the two write different networks"
