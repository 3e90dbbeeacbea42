"""A latent diffusion the published way in PyTorch against edgesr; quality over evaluations, truth, memory."""

from benchmarks.diffusion.command import add_arguments, run

__all__ = ["add_arguments", "run"]
