"""Start-up, overhead over ONNX Runtime, speed against PyTorch, and memory of the runtime."""

from benchmarks.runtime.command import add_arguments, run

__all__ = ["add_arguments", "run"]
