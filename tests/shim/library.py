"""NVIDIA's bindings loaded over libraries of ours that export what they import and hand every call to Python."""

from __future__ import annotations

import ctypes
import importlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ENTRIES = re.compile(
    rb"\0(create\w+_INTERNAL|get\w*PluginRegistry|getNvOnnxParserVersion|initLibNvInferPlugins"
    rb"|_ZN\d+nv(?:caffe|uff)parser\d+\w+)(?=\0)"
)
_LIBRARY = re.compile(rb"libnv\w+\.so\.\d+(?=\0)")
_ENTRY = """
void *(*edgesr_{name})(void *, void *, void *);
void *{name}(void *a, void *b, void *c) {{ return edgesr_{name} ? edgesr_{name}(a, b, c) : 0; }}
"""


def obstacle(folder: Path | None) -> str:
    """Say why the bindings in ``folder`` cannot be loaded here, or ""."""
    if folder is None:
        return "no TensorRT bindings: set EDGESR_TEST_BINDINGS (see tests/shim/fetch.py)"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the shim's tables of virtual methods are those of x86-64 Linux"
    if shutil.which("cc") is None:
        return "no C compiler"
    return ""


def build_libraries(folder: Path, target: Path) -> list[Path]:
    """Compile the libraries that the bindings in ``folder`` ask for; every entry returns null until it is set."""
    content = (folder / "tensorrt_bindings" / "tensorrt.so").read_bytes()
    entries = sorted({name.decode() for name in _ENTRIES.findall(content)})
    source = target / "entries.c"
    source.write_text("".join(_ENTRY.format(name=name) for name in entries))
    first, *others = sorted({name.decode() for name in _LIBRARY.findall(content)})
    empty = target / "empty.c"
    empty.write_text("")
    made = []
    for name, code in [(first, source), *((other, empty) for other in others)]:
        made.append(target / name)
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", made[-1], code]
        subprocess.run(command, check=True)
    return made


def load(folder: Path, target: Path) -> tuple[Any, Callable[[str, Callable[..., int]], None]]:
    """Import the bindings in ``folder``; return the module, and a function that sets what an entry does."""
    # Loaded beforehand, they are found by their names without a search path.
    entries, *_ = [ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for path in build_libraries(folder, target)]
    sys.path.insert(0, str(folder))
    module = importlib.import_module("tensorrt_bindings")
    kept = []

    def answer(name: str, body: Callable[..., int]) -> None:
        function = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 3)(body)
        kept.append(function)
        ctypes.c_void_p.in_dll(entries, f"edgesr_{name}").value = ctypes.cast(function, ctypes.c_void_p).value

    return module, answer
