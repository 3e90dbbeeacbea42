"""The library by ctypes: declared as its headers say, found where systems keep it, its errors explained."""

from __future__ import annotations

import ctypes
import re
import threading
from ctypes import POINTER, byref, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path

import pytest

from edgesr.engines import cudart, cudart_files
from edgesr.engines.cuda import Device
from edgesr.engines.cuda_errors import REMEDIES, cuda_error
from edgesr.engines.cudart import PROTOTYPES, TEXTS, CudaRuntime
from edgesr.engines.cudart_files import candidates
from edgesr.errors import BackendError, OutOfMemoryError
from tests.fakes.cuda_entries import ENTRIES
from tests.fakes.cudart import FakeCudart


def real_libraries() -> list[Path]:
    """The libcudart files of wheels and toolkits on this machine, one per folder."""
    found = {Path(name).resolve(): Path(name) for name in candidates(chosen="") if "/" in name}
    return list(found.values())


def header_of(library: Path) -> Path | None:
    places = (library.parent.parent / "include", library.parent.parent.parent.parent / "include")
    return next((place / "cuda_runtime_api.h" for place in places if (place / "cuda_runtime_api.h").is_file()), None)


REAL = pytest.mark.parametrize(
    "library",
    [pytest.param(path, id=path.name) for path in real_libraries()]
    or [pytest.param(None, marks=pytest.mark.skip(reason="no libcudart: install a wheel nvidia-cuda-runtime"))],
)


@pytest.fixture
def runtime() -> CudaRuntime:
    return CudaRuntime(FakeCudart(), "libcudart-fake.so")


def test_the_fake_exports_the_declared_functions_with_the_same_arguments():
    assert {name: arguments for name, (arguments, _) in ENTRIES.items()} == PROTOTYPES


def test_every_declared_function_is_used():
    package = Path(cudart.__file__).parent
    used = "".join(path.read_text() for path in package.glob("cuda*.py")).replace("PROTOTYPES", "")
    for name in PROTOTYPES:
        assert len(re.findall(rf'"{name}"', used)) > 1 or name in TEXTS, f"{name} is declared for nothing"


@REAL
def test_a_real_library_loads_and_answers(library):
    runtime = CudaRuntime.load(library)
    if runtime.attempt("cudaGetDeviceCount", byref(c_int())) == 35:
        with pytest.raises(BackendError, match=r"cudaErrorInsufficientDriver.*update the NVIDIA driver"):
            Device(runtime)
        # Without a driver 11.8 cannot even tell its own version.
        if "so.11" in library.name:
            return
    major = int(re.findall(r"\.so\.(\d+)", library.name)[0])
    assert runtime.version[0] == major
    assert runtime.driver_version >= (0, 0)


@REAL
def test_a_header_declares_the_functions_as_we_do(library):
    header = header_of(library)
    if header is None:
        pytest.skip(f"{library.name} comes without its header")
    text = re.sub(r"/\*.*?\*/", "", header.read_text(errors="replace"), flags=re.S)
    text = re.sub(r"__dv\(\w+\)", "", text)
    for name, arguments in PROTOTYPES.items():
        if name == "cudaGetDeviceProperties":
            declared = ["struct cudaDeviceProp *prop", "int device"]
        else:
            found = re.search(rf"CUDARTAPI\s+{name}\s*\(([^)]*)\)", text)
            assert found, f"{header} does not declare {name}"
            declared = [] if found[1].strip() in ("", "void") else found[1].split(",")
        assert [ctypes_of(argument) for argument in declared] == list(arguments), name


@REAL
def test_the_header_numbers_are_ours(library):
    header = header_of(library)
    if header is None:
        pytest.skip(f"{library.name} comes without its header")
    text = header.with_name("driver_types.h").read_text(errors="replace")
    values = {name: int(number, 0) for name, number in re.findall(r"\b(cuda\w+)\s*=\s*(0x\w+|\d+)", text)}
    values |= {name: int(number, 0) for name, number in re.findall(r"#define\s+(cuda\w+)\s+(0x\w+|\d+)\s", text)}
    expected = {
        "cudaDevAttrMultiProcessorCount": 16,
        "cudaDevAttrIntegrated": 18,
        "cudaDevAttrCanMapHostMemory": 19,
        "cudaDevAttrComputeCapabilityMajor": 75,
        "cudaDevAttrComputeCapabilityMinor": 76,
        "cudaMemcpyHostToDevice": 1,
        "cudaMemcpyDeviceToHost": 2,
        "cudaMemcpyDeviceToDevice": 3,
        "cudaHostAllocPortable": 1,
        "cudaHostAllocMapped": 2,
        "cudaStreamNonBlocking": 1,
        "cudaEventDisableTiming": 2,
        "cudaStreamCaptureModeThreadLocal": 1,
        "cudaMemoryTypeUnregistered": 0,
        "cudaErrorNotReady": 600,
    }
    assert {name: values[name] for name in expected} == expected
    codes = {number for name, number in values.items() if name.startswith("cudaError")}
    assert set(REMEDIES) <= codes


def ctypes_of(argument: str) -> object:
    """Translate one C parameter; a pointer to a struct is a plain pointer, a handle a void pointer."""
    kind = re.sub(r"\b(const|struct|enum)\b|\w+\s*$", "", argument.replace("*", " * ").strip()).split()
    base, stars = kind[0], kind.count("*")
    if base == "unsigned":
        base = " ".join(word for word in kind if word != "*")
    if base in ("cudaStream_t", "cudaEvent_t", "cudaGraph_t", "cudaGraphExec_t"):
        base, stars = "void", stars + 1
    if base == "void" or (stars and base in ("cudaDeviceProp", "cudaPointerAttributes")):
        return c_void_p if stars == 1 else POINTER(c_void_p)
    scalar = {
        "int": c_int,
        "float": c_float,
        "size_t": c_size_t,
        "unsigned int": c_uint,
        "unsigned long long": c_ulonglong,
    }.get(base, c_int if base.startswith("cuda") else None)
    return POINTER(scalar) if stars else scalar


def test_versions_are_pairs(runtime):
    assert (runtime.version, runtime.driver_version) == ((12, 6), (12, 6))


@pytest.mark.parametrize(
    ("code", "name", "remedy"),
    [
        (35, "cudaErrorInsufficientDriver", "update the NVIDIA driver"),
        (100, "cudaErrorNoDevice", "nvidia-smi"),
        (400, "cudaErrorInvalidResourceHandle", "pycuda.autoprimaryctx"),
        (700, "cudaErrorIllegalAddress", "restart it"),
        (719, "cudaErrorLaunchFailure", "restart it"),
        (900, "cudaErrorStreamCaptureUnsupported", "run it without graphs"),
        (906, "cudaErrorStreamCaptureImplicit", "default stream"),
        (717, "cudaErrorUnknown", "restart it"),
        (12345, "cudaErrorUnknown", "edgesr doctor"),
    ],
)
def test_an_error_names_the_call_the_code_and_what_to_do(code, name, remedy):
    fake = FakeCudart()
    runtime = CudaRuntime(fake, "fake")
    fake.fail("cudaGetDeviceCount", code)
    with pytest.raises(BackendError) as caught:
        runtime.call("cudaGetDeviceCount", byref(c_int()))
    text = str(caught.value)
    assert text.startswith(f"cudaGetDeviceCount failed with {name} ({code}), ")
    assert remedy in text
    assert "\n" not in text
    assert not isinstance(caught.value, OutOfMemoryError)
    fake.check()


def test_a_full_device_has_its_own_error():
    assert isinstance(cuda_error("cudaMalloc", 2, "cudaErrorMemoryAllocation", "out of memory"), OutOfMemoryError)


def test_every_remedy_is_one_line_that_says_what_to_do():
    for code, remedy in REMEDIES.items():
        assert "\n" not in remedy, code
        assert len(remedy) > 20 and not remedy.endswith("."), code


def test_a_failed_attempt_leaves_no_error_for_other_libraries():
    fake = FakeCudart()
    runtime = CudaRuntime(fake, "fake")
    fake.fail("cudaSetDevice", 101)
    assert runtime.attempt("cudaSetDevice", 0) == 101
    assert runtime.attempt("cudaSetDevice", 0) == 0
    fake.check()


def test_wrong_argument_types_never_reach_the_library(runtime):
    with pytest.raises(ctypes.ArgumentError):
        runtime.call("cudaSetDevice", "0")
    with pytest.raises(ctypes.ArgumentError):
        runtime.call("cudaGetDeviceCount", c_float())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BackendError, match=r"cannot load the CUDA runtime library .*absent\.so"):
        CudaRuntime.load(tmp_path / "absent.so")


def test_a_file_that_is_no_library_is_named(tmp_path):
    (tmp_path / "libcudart.so.12").write_bytes(b"no ELF")
    with pytest.raises(BackendError, match=r"cannot load .*libcudart\.so\.12"):
        CudaRuntime.load(tmp_path / "libcudart.so.12")


def test_a_library_without_our_functions_is_refused():
    with pytest.raises(BackendError, match=r"has no function cuda.*11\.4 or newer"):
        CudaRuntime.load("libc.so.6")


@pytest.fixture
def system(monkeypatch):
    """Let fake libraries stand at the places given: a mapping from file to FakeCudart."""

    def install(libraries: dict[str, FakeCudart]) -> None:
        def load(path: str) -> FakeCudart:
            if path not in libraries:
                raise OSError(f"{path}: cannot open shared object file")
            return libraries[path]

        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setattr(cudart, "candidates", lambda: iter(["a", *libraries]))

    return install


def test_the_first_library_that_the_driver_can_run_is_taken(system):
    system({"new": FakeCudart(version=(13, 0), driver=None), "old": FakeCudart(version=(12, 6))})
    assert CudaRuntime.load().path == "old"


def test_without_a_driver_the_first_library_is_taken_and_the_device_says_so(system):
    system({"one": FakeCudart(driver=None), "two": FakeCudart(driver=None)})
    runtime = CudaRuntime.load()
    assert runtime.path == "one"
    with pytest.raises(BackendError, match="cudaGetDeviceCount failed with cudaErrorInsufficientDriver"):
        Device(runtime)


def test_a_machine_without_a_gpu_keeps_the_newest_library(system):
    no_gpu = FakeCudart()
    no_gpu.fail("cudaGetDeviceCount", 100)
    system({"one": no_gpu, "two": FakeCudart()})
    assert CudaRuntime.load().path == "one"


def test_without_any_library_the_message_says_what_to_install(system):
    system({})
    with pytest.raises(BackendError, match=r"libcudart\.so\.11\.0, \.12 or \.13.*nvidia-cuda-runtime.*EDGESR_CUDART"):
        CudaRuntime.load()


def test_libraries_are_looked_for_in_wheels_then_toolkits_then_the_linker_cache(tmp_path):
    wheels, root = tmp_path / "site", tmp_path / "root"
    files = [
        wheels / "nvidia/cu13/lib/libcudart.so.13",
        wheels / "nvidia/cuda_runtime/lib/libcudart.so.12",
        root / "usr/local/cuda/lib64/libcudart.so.12",
        root / "usr/local/cuda-13.0/targets/sbsa-linux/lib/libcudart.so.13",
        root / "usr/local/cuda-12.6/lib64/libcudart.so.12",
        root / "usr/local/cuda-11.8/lib64/libcudart.so.11.0",
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    found = list(candidates([str(wheels), str(tmp_path / "none")], root, ""))
    assert found == [*map(str, files), *cudart_files.SONAMES]
    (root / "etc").mkdir()
    (root / "etc/nv_tegra_release").touch()
    on_a_board = list(candidates([str(wheels)], root, ""))
    assert on_a_board == [*map(str, [*files[2:], *files[:2]]), *cudart_files.SONAMES]


def test_a_chosen_library_is_the_only_one(monkeypatch):
    monkeypatch.setenv("EDGESR_CUDART", "chosen.so")
    assert list(candidates()) == ["chosen.so"]
    with pytest.raises(BackendError, match=r"chosen\.so"):
        CudaRuntime.load()


def test_releases_wait_for_the_end_of_all_captures(runtime):
    done: list[int] = []
    with runtime.capturing():
        with runtime.capturing():
            runtime.release(lambda: done.append(1))
        runtime.release(lambda: done.append(2))
        assert not done
    assert done == [1, 2]
    runtime.release(lambda: done.append(3))
    assert done == [1, 2, 3]


def test_a_release_may_release_further_things(runtime):
    done: list[int] = []
    runtime.release(lambda: (runtime.release(lambda: done.append(2)), done.append(1)))
    assert done == [1, 2]


def test_releases_of_many_threads_all_happen(runtime):
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: [runtime.release(lambda: done.append(1)) for _ in range(200)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    with runtime.capturing():
        pass
    for thread in threads:
        thread.join()
    assert len(done) == 1600
