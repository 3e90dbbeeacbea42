"""All checks in the order in which they are shown."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable
from pathlib import Path

from edgesr.device import HERE, Machine, this_machine
from edgesr.doctor.check import Check
from edgesr.doctor.interpreter import Interpreter
from edgesr.doctor.libraries import check_libraries, check_opencv
from edgesr.doctor.runtime import check_onnxruntime, check_tensorrt
from edgesr.doctor.storage import check_folders, check_models
from edgesr.doctor.system import check_jetpack, check_machine, check_memory, check_python
from edgesr.doctor.video import check_video

_CHECKS = {
    "python": check_python,
    "machine": check_machine,
    "jetpack": check_jetpack,
    "memory": check_memory,
    "libraries": check_libraries,
    "opencv": check_opencv,
    "video": check_video,
    "onnxruntime": check_onnxruntime,
    "tensorrt": check_tensorrt,
    "folders": check_folders,
    "models": check_models,
}


def diagnose(root: Path = HERE, *, machine: Machine | None = None, python: Interpreter | None = None) -> list[Check]:
    """Look at everything that edgesr needs; needs no network and no library.

    System files are read below ``root``. A check that itself fails is a problem with its error text. Names of the user
    and the computer are left out.
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
    return [Check(check.name, check.status, _hide(check.detail), _hide(check.remedy)) for check in checks]


def _hide(text: str) -> str:
    """Replace the home folder by ``~``, and folders named after the user or the computer by placeholders."""
    home = _known(lambda: str(Path.home()))
    if len(home) > 1:
        text = re.sub(rf"(?<![\w/]){re.escape(home)}(?![\w.-])", "~", text)
    for word, shown in ((_known(getpass.getuser), "USER"), (_known(socket.gethostname), "HOST")):
        if word:
            text = re.sub(rf"/{re.escape(word)}(?![\w.-])", f"/{shown}", text)
    return text


def _known(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (KeyError, OSError, RuntimeError):
        return ""
