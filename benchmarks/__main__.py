"""``python -m benchmarks NAME``: run one benchmark from a checkout.

A benchmark is a module with a docstring, ``add_arguments(parser)`` and ``run(arguments)``; it is listed here.
"""

from __future__ import annotations

import argparse
import importlib
import sys

BENCHMARKS = {
    "runtime": "benchmarks.runtime",
    "published": "benchmarks.published",
    "exported": "benchmarks.exported",
    "build": "benchmarks.builds",
    "soak": "benchmarks.soak",
    "diffusion": "benchmarks.diffusion",
    "backends": "benchmarks.backends",
    "papers": "benchmarks.papers",
}


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run the benchmark that it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure edgesr on this machine.")
    commands = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, module_name in BENCHMARKS.items():
        module = importlib.import_module(module_name)
        summary = (module.__doc__ or name).strip().splitlines()[0].rstrip(".")
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    arguments = parser.parse_args(argv)
    importlib.import_module(BENCHMARKS[arguments.name]).run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
