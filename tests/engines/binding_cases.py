"""Small uses of TensorRT's bindings whose outcome real bindings and double must share; runs without tests' libraries.

python binding_cases.py MODULE     # prints {case: outcome} of an importable module as JSON
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any


def _forgetful(trt: Any, base: str) -> Any:
    return type("Forgetful", (getattr(trt, base),), {"__init__": lambda self: None, "log": lambda self, a, b: None})()


CASES: dict[str, Callable[[Any], Any]] = {
    "an enum is no int": lambda trt: trt.DataType.FLOAT == 0,
    "an enum equals its own alone": lambda trt: trt.DataType.FLOAT == trt.TensorIOMode.NONE,
    "an enum is not iterable": lambda trt: list(trt.DataType),
    "an enum is not subscriptable": lambda trt: trt.DataType["FLOAT"],
    "an enum has no or": lambda trt: trt.BuilderFlag.TF32 | trt.BuilderFlag.DEBUG,
    "an enum shifts nothing": lambda trt: 1 << trt.BuilderFlag.TF32,
    "an enum is made from its number": lambda trt: trt.DataType(1).name,
    "an enum hashes": lambda trt: len({trt.DataType.FLOAT, trt.DataType.FLOAT}),
    "an enum lists its members": lambda trt: int(trt.DataType.__members__["HALF"]),
    "an enum has a name": lambda trt: trt.Logger.WARNING.name,
    "a builder wants a logger": lambda trt: trt.Builder(),
    "a builder wants no text": lambda trt: trt.Builder("logger"),
    "a runtime wants no None": lambda trt: trt.Runtime(None),
    "a config has no constructor": lambda trt: trt.IBuilderConfig(),
    "a context has no constructor": lambda trt: trt.IExecutionContext(),
    "a network has no constructor": lambda trt: trt.INetworkDefinition(),
    "a logger must be initialised": lambda trt: _forgetful(trt, "ILogger"),
    "an allocator must be initialised": lambda trt: _forgetful(trt, "IOutputAllocator"),
    "dims take numbers": lambda trt: tuple(trt.Dims((1, 2, 3))),
    "dims take a list": lambda trt: len(trt.Dims([1, 2])),
    "dims take no fractions": lambda trt: trt.Dims((1.5,)),
    "dims take no text": lambda trt: trt.Dims("ab"),
    "dims equal a tuple": lambda trt: trt.Dims((1, 2)) == (1, 2),
    "dims equal a list": lambda trt: trt.Dims((1, 2)) == [1, 2],
    "dims differ from a tuple": lambda trt: trt.Dims((1, 2)) == (1, 3),
    "dims compare with no dims": lambda trt: trt.Dims((1, 2)) == trt.Dims((1, 2)),
    "dims end": lambda trt: trt.Dims((1, 2))[2],
    "a printing logger takes a keyword": lambda trt: trt.Logger(min_severity=trt.Logger.ERROR).min_severity.name,
    "a printing logger takes no int": lambda trt: trt.Logger(1),
    "a printing logger takes no new attribute": lambda trt: setattr(trt.Logger(), "colour", 1),
    "log takes keywords": lambda trt: trt.Logger(trt.Logger.ERROR).log(severity=trt.Logger.INFO, msg="x"),
    "log takes no int": lambda trt: trt.Logger(trt.Logger.ERROR).log(3, "x"),
    "volume multiplies": lambda trt: trt.volume((2, 3)),
    "nptype gives float16": lambda trt: trt.nptype(trt.DataType.HALF).__name__,
    "nptype refuses what numpy lacks": lambda trt: trt.nptype(trt.DataType.FP8),
}


def outcomes(trt: Any) -> dict[str, str]:
    """Run every case; an outcome is the value's text or the exception's type."""
    found = {}
    for name, case in CASES.items():
        try:
            found[name] = repr(case(trt))
        except Exception as error:
            found[name] = type(error).__name__
    return found


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    interface = json.loads(sys.stdin.read())
    missing = [
        f"{name}.{member}"
        for name, found in interface["classes"].items()
        for member in (*found["methods"], *found["properties"])
        if not hasattr(getattr(module, name), member)
    ]
    other = [
        f"{name}.{member}"
        for name, numbers in interface["enums"].items()
        for member, number in numbers.items()
        if "." not in name and int(getattr(getattr(module, name), member)) != number
    ]
    result = {"version": module.__version__, "outcomes": outcomes(module), "missing": missing, "renumbered": other}
    sys.stdout.write(json.dumps(result))
