"""All checks in the order in which they are shown."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable
from pathlib import Path

from edgesr.device import HERE, Machine, this_machine
from edgesr.doctor.board import check_memory, check_power
from edgesr.doctor.check import Check
from edgesr.doctor.gpu import check_cuda, check_tensorrt
from edgesr.doctor.interpreter import Interpreter
from edgesr.doctor.libraries import check_libraries, check_opencv
from edgesr.doctor.openvino import check_openvino
from edgesr.doctor.runtime import check_onnxruntime
from edgesr.doctor.storage import check_folders, check_models
from edgesr.doctor.system import check_jetpack, check_machine, check_python
from edgesr.doctor.video import check_video

USUAL_USERS = frozenset(("root", "user", "ubuntu", "nvidia", "jetson", "edgesr"))
"""Names that say nothing about a person."""

_CHECKS = {
    "python": check_python,
    "machine": check_machine,
    "jetpack": check_jetpack,
    "power": check_power,
    "memory": check_memory,
    "cuda": check_cuda,
    "tensorrt": check_tensorrt,
    "libraries": check_libraries,
    "opencv": check_opencv,
    "video": check_video,
    "onnxruntime": check_onnxruntime,
    "openvino": check_openvino,
    "folders": check_folders,
    "models": check_models,
}


def diagnose(root: Path = HERE, *, machine: Machine | None = None, python: Interpreter | None = None) -> list[Check]:
    """Look at everything that edgesr needs; needs no network and no library.

    System files are read below ``root``. A check that itself fails is a problem with its error text. Names of the user
    and the computer are left out of what is found; remedies are commands as they must be typed.
    """
    machine = machine or this_machine(root)
    python = python or Interpreter.current()
    checks: list[Check] = []
    for name, look in _CHECKS.items():
        try:
            checks += look(machine, python, root)
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            checks.append(Check(name, "problem", f"this check failed: {text}", "report this as a bug of edgesr"))
    return [Check(check.name, check.status, _hide(check.detail), _with_tilde(check.remedy)) for check in checks]


def _with_tilde(text: str) -> str:
    """Replace the home folder by ``~``, which a shell understands, so that a command still works."""
    home = _known(lambda: str(Path.home()))
    return re.sub(rf"(?<![\w/]){re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text


def _hide(text: str) -> str:
    """Replace the home folder by ``~``, and folders named after the user or the computer by placeholders."""
    text = _with_tilde(text)
    for word, shown in ((_known(getpass.getuser), "USER"), (_known(socket.gethostname), "HOST")):
        if word and word not in USUAL_USERS:
            text = re.sub(rf"/{re.escape(word)}(?![\w.-])", f"/{shown}", text)
    return text


def _known(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (KeyError, OSError, RuntimeError):
        return ""
