"""TensorRT targets: which opset a network is exported with, and whether each version's parser takes it."""

from dataclasses import dataclass

from edgesr.compile.graph import Graph
from edgesr.compile.validate import operator_problems, untold
from edgesr.errors import BuildError


@dataclass(frozen=True)
class Target:
    """The opset and the TensorRT versions, as edgesr's operator table names them, that have to take the network."""

    opset: int
    versions: tuple[str, ...]


TARGETS = {
    "trt8.6": Target(17, ("8.6",)),
    "trt10": Target(18, ("10.3", "10.13", "10.16")),
    "trt11": Target(20, ("11.4",)),
    "any": Target(17, ("8.6", "10.3", "10.13", "10.16", "11.4")),
}


def check_operators(graph: Graph, target: str) -> list[str]:
    """Raise BuildError that names the first operator a version of the target lacks; return notes on unknown ones."""
    notes = []
    for version in TARGETS[target].versions:
        for problem in operator_problems(graph, version):
            raise BuildError(f"{problem} (--target {target})")
        unclear = untold(graph, version)
        if unclear:
            notes.append(f"no table says whether TensorRT {version} takes {', '.join(unclear)}")
    return notes
