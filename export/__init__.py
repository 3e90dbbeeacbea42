"""The torch side of edgesr: architectures, training recipes and exporters, run from a checkout."""

from typing import Any

__all__ = ["package"]


def __getattr__(name: str) -> Any:
    if name == "package":
        from export.exporting.packaging import package

        return package
    raise AttributeError(f"module 'export' has no attribute {name!r}")
