"""Checks of the Python libraries around the runtime: NumPy, picture formats, OpenCV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edgesr.device import Machine
from edgesr.doctor.check import Check, dotted, new_venv, numbers
from edgesr.doctor.interpreter import Interpreter, ProbeError

REQUIRED = {
    "numpy": ("numpy", (1, 23)),
    "onnx": ("onnx", (1, 15)),
    "pillow": ("PIL", (10, 1)),
    "tqdm": ("tqdm", (4, 64)),
}
"""Module and least version of what edgesr is installed with, beside ONNX Runtime; as in pyproject.toml."""
DICOM = {
    "pydicom": "pydicom",
    "pylibjpeg": "pylibjpeg",
    "pylibjpeg-libjpeg": "libjpeg",
    "pylibjpeg-openjpeg": "openjpeg",
}

_IMPORT = """
import importlib
answer = {}
for name in %r:
    try:
        importlib.import_module(name)
        answer[name] = ""
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        answer[name] = "not installed" if missing else f"cannot be imported: {type(error).__name__}: {error}"
"""
_OPENCV = """
import re, cv2
found = re.search(r"GStreamer:\\s+(\\S+)", cv2.getBuildInformation())
answer = [cv2.__version__, bool(found) and found[1] == "YES"]
"""


def check_libraries(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that the libraries import and are new enough, and whether DICOM can be read."""
    errors = python.ask(_IMPORT % [*(module for module, _ in REQUIRED.values()), *DICOM.values()]).value
    for name, (module, least) in REQUIRED.items():
        version = python.packages.get(name, "of unknown version")
        upgrade = f"{python.pip} install --upgrade '{name}>={dotted(least)}'"
        if errors[module]:
            yield Check(name, "problem", errors[module], upgrade)
        elif name in python.packages and numbers(version) < least:
            yield Check(name, "problem", f"{version} is older than {dotted(least)}", upgrade)
        else:
            yield Check(name, "ok", version)
    broken = {name: errors[module] for name, module in DICOM.items() if errors[module]}
    for name, error in list(broken.items())[:1]:
        remedy = f"{python.pip} install 'edgesr[dicom]'"
        yield Check("dicom", "info", f"DICOM files cannot be read: {name} {error}", remedy)
    if not broken:
        yield Check("dicom", "ok", f"pydicom {python.packages.get('pydicom', '')} with decoders")


def check_opencv(machine: Machine, python: Interpreter, root: Path) -> Iterator[Check]:
    """Check that one OpenCV is there, on a Jetson the system's, which has GStreamer and the cameras."""
    wheels = sorted(name for name in python.packages if re.fullmatch(r"opencv(-contrib)?-python(-headless)?", name))
    in_system = machine.jetson is not None and any(root.glob("usr/lib/python3*/dist-packages/cv2*"))
    origin = python.locate("cv2")
    if len(wheels) > 1:
        yield _several(wheels, python, in_system=in_system)
    elif in_system and wheels:
        again = f", then {new_venv(python)}" if python.is_isolated else ""
        detail = f"the wheel {wheels[0]} hides JetPack's cv2, which has GStreamer and the cameras"
        yield Check("opencv", "problem", detail, f"{python.pip} uninstall -y {wheels[0]}{again}")
    elif origin is None and in_system and python.is_isolated:
        detail = "this virtual environment cannot see JetPack's cv2 (nor its TensorRT)"
        yield Check("opencv", "problem", detail, new_venv(python))
    elif origin is None:
        yield Check("opencv", "info", "not installed; edgesr needs none for still pictures")
    else:
        yield _imported(origin, wheels, python)


def _several(wheels: list[str], python: Interpreter, *, in_system: bool) -> Check:
    remedy = f"{python.pip} uninstall -y {' '.join(wheels)}"
    if not in_system:
        remedy += f" && {python.pip} install {wheels[-1]}"
    return Check("opencv", "problem", f"{' and '.join(wheels)} overwrite each other's files", remedy)


def _imported(origin: str, wheels: list[str], python: Interpreter) -> Check:
    of_system = re.search(r"/usr/lib/python3[^/]*/dist-packages/", origin) is not None
    try:
        version, gstreamer = python.ask(_OPENCV).value
    except ProbeError as error:
        if of_system and re.search(r"numpy|_ARRAY_API|multiarray", str(error), re.IGNORECASE):
            detail = f"the system's cv2 was built for numpy 1, numpy {python.packages.get('numpy', '')} is installed"
            return Check("opencv", "problem", f"{detail}: {error}", f"{python.pip} install 'numpy>=1.23,<2'")
        package = wheels[0] if wheels else "opencv-python-headless"
        remedy = "sudo apt install --reinstall libopencv-python"
        if not of_system:
            remedy = f"{python.pip} install --force-reinstall --no-deps {package}"
        return Check("opencv", "problem", f"cv2 cannot be imported: {error}", remedy)
    maker = "the system" if of_system else wheels[0] if wheels else str(Path(origin).parent)
    return Check("opencv", "ok", f"{version} from {maker}, {'with' if gstreamer else 'without'} GStreamer")
