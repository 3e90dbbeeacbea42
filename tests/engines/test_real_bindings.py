"""Rung 2, in part: NVIDIA's own Python bindings, without their library, behave as the double does.

Runs where EDGESR_TEST_BINDINGS names a folder with one or more unpacked `tensorrt-cu1x-bindings` wheels for this Python
and a C compiler is there. The bindings load over empty stand-ins of the nine functions they import, so that enums,
arguments, subclassing and the classes' members are the real ones; what needs the library (builder, engine, context)
cannot be reached. Nothing of NVIDIA's is kept in the repository.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import binding_cases
from tests.engines.api_walk import APIS
from tests.fakes.tensorrt import VERSIONS, Tensorrt

FOLDER = os.environ.get("EDGESR_TEST_BINDINGS", "")
WHEELS = sorted(path.parent.parent for path in Path(FOLDER).glob("*/tensorrt_bindings/tensorrt.so")) if FOLDER else []
SYMBOLS = re.compile(
    rb"\0(create\w+_INTERNAL|get\w*PluginRegistry|getNvOnnxParserVersion|initLibNvInferPlugins"
    rb"|_ZN\d+nv(?:caffe|uff)parser\d+\w+)(?=\0)"
)
LIBRARY = re.compile(rb"libnv\w+\.so\.\d+(?=\0)")

WRAPPER = """
import sys, tensorrt_bindings, numpy
sys.modules["tensorrt"] = tensorrt_bindings
from edgesr.engines.trt_api import DTYPES, TensorRt
from edgesr.engines.trt_memory import OutputAllocator
from edgesr.errors import BackendError
api = TensorRt.load()
for name, dtype in DTYPES.items():
    member = api.flag("DataType", name)
    assert member is None or api.dtype(member, "x") == numpy.dtype(dtype), name
with api.log.collect("VERBOSE") as lines:
    api.log.logger.log(api.trt.ILogger.Severity.WARNING, "hello")
assert [(line.severity, line.text) for line in lines] == [("WARNING", "hello")]
allocator = OutputAllocator(api, None, None, numpy.dtype(numpy.float32))
allocator.bound.notify_shape("x", api.trt.Dims((1, 2)))
assert allocator._shape == (1, 2)
try:
    api.runtime()
except BackendError as error:
    assert "does not start" in str(error)
else:
    raise AssertionError("the stand-in library has no runtime")
"""


@pytest.fixture(params=WHEELS or [None], ids=lambda path: path.name if path else "none")
def environment(request, tmp_path):
    if request.param is None:
        pytest.skip("EDGESR_TEST_BINDINGS names no folder with unpacked TensorRT bindings")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    content = (request.param / "tensorrt_bindings" / "tensorrt.so").read_bytes()
    source = tmp_path / "standin.c"
    source.write_text(
        "".join(f"void *{name.decode()}(void) {{ return 0; }}\n" for name in set(SYMBOLS.findall(content)))
    )
    for name in set(LIBRARY.findall(content)):
        target = tmp_path / name.decode()
        subprocess.run([compiler, "-shared", "-fPIC", "-o", target, source], check=True)
    paths = [str(request.param), str(Path(__file__).parents[2])]
    return {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}


def run(environment, *arguments, given=""):
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_real_bindings_and_double_agree(environment):
    version = run(environment, "-c", "import tensorrt_bindings; print(tensorrt_bindings.__version__)").strip()
    if version not in VERSIONS:
        pytest.skip(f"there is no double of TensorRT {version}")
    script = str(Path(binding_cases.__file__))
    real = json.loads(run(environment, script, "tensorrt_bindings", given=json.dumps(APIS[version])))
    assert real["missing"] == real["renumbered"] == []
    assert binding_cases.outcomes(Tensorrt(version).module) == real["outcomes"]


def test_the_wrapper_works_on_real_bindings(environment):
    run(environment, "-c", WRAPPER)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_double_refuses_in_every_case_that_must_fail(version):
    outcomes = binding_cases.outcomes(Tensorrt(version).module)
    refused = {name for name, outcome in outcomes.items() if outcome.endswith("Error")}
    wanted = (" no ", "not ", "nothing", "must ", "refuses", "wants", "end")
    assert refused == {name for name in outcomes if any(word in f" {name} " for word in wanted)} - {"an enum is no int"}
