"""``edgesr doctor``: can this machine run edgesr?"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from edgesr import __version__
from edgesr.cli.output import result, result_json
from edgesr.device import this_machine
from edgesr.doctor import Check, diagnose
from edgesr.errors import BackendError


def execute(arguments: argparse.Namespace) -> int:
    """Print all checks; return 0, or 3 when there is a problem."""
    machine = this_machine()
    checks = diagnose(machine=machine)
    if arguments.json:
        document = {"edgesr": __version__, "machine": asdict(machine), "checks": [asdict(check) for check in checks]}
        result_json(document)
    else:
        for line in lines(checks):
            result(line)
    return BackendError.exit_code if any(check.status == "problem" for check in checks) else 0


def lines(checks: list[Check]) -> list[str]:
    """Lay the checks out in columns, each remedy below its check."""
    width = max((len(check.name) for check in checks), default=0)
    indent = " " * (len("problem") + 2)
    text = []
    for check in checks:
        text.append(f"{check.status:<7}  {check.name:<{width}}  {check.detail}".rstrip())
        if check.remedy:
            text.append(f"{indent}-> {check.remedy}")
    problems = sum(check.status == "problem" for check in checks)
    text.append("")
    text.append(f"{problems} problem{'s' if problems > 1 else ''}" if problems else "no problems")
    return text
