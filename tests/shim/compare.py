"""`python -m tests.shim.compare BINDINGS`: print what real bindings and double make of every wrong argument."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.fakes.tensorrt import Tensorrt
from tests.shim.arguments import outcomes
from tests.shim.tensorrt import Shim

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        shim = Shim(Path(sys.argv[1]), Path(scratch))
        # What the library is handed for odd arguments raises behind the bindings; here only they are of interest.
        real = outcomes(shim.tensorrt())
        told = {"version": shim.version, "real": real, "double": outcomes(Tensorrt(shim.version))}
        sys.stdout.write(json.dumps(told))
