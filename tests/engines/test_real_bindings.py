"""Rung 2: NVIDIA's own Python bindings of several versions, over libraries of ours in place of NVIDIA's.

Runs where EDGESR_TEST_BINDINGS names a folder with unpacked bindings for this Python (tests/shim/fetch.py downloads
them) and there is a C compiler. Twice: over libraries in which nothing can be made, and over the doubles, reached
through the tables of virtual methods by which the bindings call NVIDIA's library. Then edgesr, unmodified, builds,
loads and runs engines through the real argument checks, conversions, ownership and callbacks. What the library itself
would do is still the doubles' idea. Nothing of NVIDIA's is kept in the repository.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import binding_cases
from tests.engines.api_walk import APIS, WRITABLE
from tests.fakes.tensorrt import VERSIONS, Tensorrt
from tests.shim.library import build_libraries, obstacle

FOLDER = os.environ.get("EDGESR_TEST_BINDINGS", "")
BINDINGS = sorted(path.parent.parent for path in Path(FOLDER).glob("*/tensorrt_bindings/tensorrt.so")) if FOLDER else []
ROOT = Path(__file__).parents[2]
# Everything that uses TensorRT, from conformance to pictures; each test runs on the double elsewhere.
SUITES = [
    "tests/engines/test_conformance.py",
    "tests/engines/test_trt.py",
    "tests/engines/test_trt_graphs.py",
    "tests/engines/test_trt_loop.py",
    "tests/engines/test_trt_overlap.py",
    "tests/engines/test_tensorrt_double.py",
    "tests/compile/test_builder.py",
    "tests/compile/test_build.py",
    "tests/pipelines/test_tensorrt.py",
]

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


@pytest.fixture(params=BINDINGS or [None], ids=lambda path: path.name if path else "none")
def bindings(request):
    reason = obstacle(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


@pytest.fixture
def environment(bindings, tmp_path):
    """The bindings over libraries whose every function returns null."""
    build_libraries(bindings, tmp_path)
    paths = [str(bindings), str(ROOT)]
    return {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}


def run(environment, *arguments, given=""):
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, check=False, cwd=ROOT, timeout=600
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_real_bindings_and_double_agree(environment):
    version = run(environment, "-c", "import tensorrt_bindings; print(tensorrt_bindings.__version__)").strip()
    if version not in VERSIONS:
        pytest.skip(f"there is no double of TensorRT {version}")
    script = str(Path(binding_cases.__file__))
    real = json.loads(run(environment, script, "tensorrt_bindings", given=json.dumps(APIS[version])))
    assert real["missing"] == real["renumbered"] == []
    assert binding_cases.outcomes(Tensorrt(version).module) == real["outcomes"]


def test_the_same_properties_can_be_assigned(bindings):
    if bindings.name not in VERSIONS:
        pytest.skip(f"there is no double of TensorRT {bindings.name}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert json.loads(run(environment, "-m", "tests.shim.writable", str(bindings))) == WRITABLE[bindings.name]


def test_the_wrapper_works_on_real_bindings(environment):
    run(environment, "-c", WRAPPER)


def test_everything_that_uses_tensorrt_works_on_real_bindings(bindings):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGESR_TEST_SHIM": str(bindings), "OMP_NUM_THREADS": "1"}
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.shim.plugin", "-k", "not onnxruntime"]
    told = run(environment, *words, *SUITES)
    passed = re.search(r"(\d+) passed", told)
    assert passed, told[-2000:]
    assert int(passed[1]) > 140, told[-2000:]
    used = re.search(rf"TensorRT {re.escape(bindings.name)}.*: (\d+) methods of the library were called", told)
    assert used, told[-2000:]
    assert int(used[1]) > 50


def test_the_double_refuses_every_argument_that_real_bindings_refuse(bindings):
    if bindings.name not in VERSIONS:
        pytest.skip(f"there is no double of TensorRT {bindings.name}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told = json.loads(run(environment, "-m", "tests.shim.compare", str(bindings)))
    real, double = told["real"], told["double"]
    assert real.keys() == double.keys()
    assert len(real) > 3000
    refused = {label for label, outcome in real.items() if outcome.endswith("Error")}
    accepted = sorted(label for label in refused if not double[label].endswith("Error"))
    assert not accepted, f"TensorRT {told['version']} refuses what the double takes: {accepted}"
    right = {label for label in real if "=" not in label and " with " not in label and label not in refused}
    assert {label: double[label] for label in right} == {label: real[label] for label in right}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_double_refuses_in_every_case_that_must_fail(version):
    outcomes = binding_cases.outcomes(Tensorrt(version).module)
    refused = {name for name, outcome in outcomes.items() if outcome.endswith("Error")}
    wanted = (" no ", "not ", "nothing", "must ", "refuses", "wants", "end")
    assert refused == {name for name in outcomes if any(word in f" {name} " for word in wanted)} - {"an enum is no int"}
