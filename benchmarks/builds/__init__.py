"""Accuracy and size of FP16 and INT8 against FP32; on a GPU the time of their engines."""

from benchmarks.builds.command import add_arguments, run

__all__ = ["add_arguments", "run"]
