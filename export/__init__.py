"""The torch side of edgesr: architectures, training recipes and exporters, run from a checkout."""

from typing import Any

__all__ = ["package", "package_labels"]


def __getattr__(name: str) -> Any:
    if name == "package":
        from export.exporting.packaging import package

        return package
    if name == "package_labels":
        from export.exporting.labelling import package_labels

        return package_labels
    raise AttributeError(f"module 'export' has no attribute {name!r}")
