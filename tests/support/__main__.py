"""``python -m tests.support [FAMILY...]``: measure families at the papers' sizes and write the page.

Ctrl-C and SIGTERM leave nothing behind but the results of finished families.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

from edgesr.cli.signals import Interruption
from edgesr.model.atomic import replacing
from tests.support.carry import is_same
from tests.support.catalogue import FAMILIES
from tests.support.page import render

DOCS = Path(__file__).parents[2] / "docs"
_LIBRARIES = ("torch", "onnx", "onnxruntime")
RESULTS, PAGE = DOCS / "support.json", DOCS / "support.md"


def main() -> int:
    """Measure, keep what was measured of other families, and write both files after each; a signal stops in between."""
    parser = argparse.ArgumentParser(prog="python -m tests.support", description=__doc__)
    parser.add_argument(
        "family", nargs="*", choices=[*FAMILIES, []], help="families to measure (default: those not measured yet)"
    )
    parser.add_argument("--restart", action="store_true", help="measure all of them anew")
    parser.add_argument(
        "--carry", type=Path, metavar="CHECKOUT",
        help="keep the results of families whose sources changed, where that older checkout exports the same networks",
    )  # fmt: skip
    parser.add_argument("--render", action="store_true", help="write the page from the results that are there")
    arguments = parser.parse_args()
    if arguments.carry:
        return max([_carry(name, arguments.carry) for name in arguments.family], default=0)
    chosen = [] if arguments.render else arguments.family or _missing(restart=arguments.restart)
    with Interruption() as interruption:
        try:
            for name in chosen:
                _measure(name)
        except (KeyboardInterrupt, SystemExit) as error:
            code = error.code if isinstance(error, SystemExit) else interruption.exit_code
            sys.stderr.write("stopped; finished families are kept, the same command goes on with the others\n")
            return int(code or 0)
    _write(PAGE, render(_results()))
    return 0


def _missing(*, restart: bool) -> list[str]:
    """Return the families whose results are absent or of another architecture, or all."""
    known = _results()["families"]
    return [
        name for name, family in FAMILIES.items() if restart or known.get(name, {}).get("sources") != family.sources()
    ]


def _measure(name: str) -> None:
    """Measure a family and put it into the results, which are read again as others may have written meanwhile."""
    with tempfile.TemporaryDirectory(prefix="edgesr-support-") as folder, patch.dict(os.environ, XDG_CACHE_HOME=folder):
        row = FAMILIES[name].prove(Path(folder), say=partial(_say, name))
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    row["made_with"] = {"date": today, **{library: version(library) for library in _LIBRARIES}}
    families = {**_results()["families"], name: row}
    document = {"families": {key: families[key] for key in FAMILIES if key in families}}
    _write(RESULTS, json.dumps(document, indent=1) + "\n")
    _write(PAGE, render(document))


def _carry(name: str, checkout: Path) -> int:
    """Let the results of a family hold for its present sources if they do; return 1 if not."""
    sources = _results()["families"][name]["sources"]
    why = is_same(name, sources, checkout.resolve())
    _say(name, why or "both export the same network; its results hold")
    document = _results()  # others may have written meanwhile
    row = document["families"][name]
    if not why and row["sources"] == sources:
        row["sources"] = FAMILIES[name].sources()
        _write(RESULTS, json.dumps(document, indent=1) + "\n")
    return int(bool(why))


def _results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"families": {}}
    return found


def _write(path: Path, text: str) -> None:
    with replacing(path) as stream:
        stream.write(text.encode())


def _say(name: str, text: str) -> None:
    sys.stderr.write(f"{name}: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
