"""``python -m tests.support [FAMILY...]``: measure families at the papers' sizes and write the page."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tests.support.families import FAMILIES
from tests.support.page import render
from tests.support.prove import prove

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "support.json", DOCS / "support.md"


def main() -> int:
    """Measure, keep what was measured of other families, and write both files."""
    parser = argparse.ArgumentParser(prog="python -m tests.support", description=__doc__)
    parser.add_argument("family", nargs="*", choices=[*FAMILIES, []], help="families to measure (default: all)")
    parser.add_argument("--render", action="store_true", help="write the page from the results that are there")
    arguments = parser.parse_args()
    document = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"families": {}}
    chosen = [] if arguments.render else arguments.family or list(FAMILIES)
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="edgesr-support-") as folder:
            row = prove(FAMILIES[name], Path(folder), is_small=False, say=partial(_say, name))
        document = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"families": {}}
        families = {**document["families"], name: row}
        libraries = ("torch", "onnx", "onnxruntime")
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        made = {"date": today, **{library: version(library) for library in libraries}}
        document = {"made_with": made, "families": {key: families[key] for key in FAMILIES if key in families}}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    PAGE.write_text(render(document), "utf-8")
    return 0


def _say(name: str, text: str) -> None:
    sys.stderr.write(f"{name}: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
