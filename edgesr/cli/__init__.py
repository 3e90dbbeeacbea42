"""The command line. Only this package prints, and only ``main`` decides the exit code."""

from edgesr.cli.main import main

__all__ = ["main"]
