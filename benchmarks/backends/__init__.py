"""What runs a network fastest on this CPU: edgesr, ONNX Runtime, OpenVINO, PyTorch eager and torch.compile."""

from benchmarks.backends.command import add_arguments, run

__all__ = ["add_arguments", "run"]
