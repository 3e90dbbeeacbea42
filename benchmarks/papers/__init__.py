"""The papers' tables with our models: quality over latency, and architectures, beside what is published."""

from benchmarks.papers.command import add_arguments, run

__all__ = ["add_arguments", "run"]
