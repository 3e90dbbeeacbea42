"""What is known of a TensorRT plan file without TensorRT: its first bytes, and the record beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import ModelError

PLAN_TAG = b"ftrt"
_SERIALIZATION_VERSION = slice(4, 8)
_LIBRARY_VERSION = slice(24, 28)
_HEADER_BYTES = 28
# Before 8.6 a plan is another archive, which tells only the number of its form; known from NVIDIA/TensorRT issue 3073.
_OLD_TAG = b"ptrt"
_OLD_FORMS = {205: "8.2", 213: "8.4", 232: "8.5"}


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says about itself; ``version`` is TensorRT's major, minor, patch and build number."""

    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """The version as NVIDIA writes it, e.g. ``10.3.0.30``."""
        return ".".join(map(str, self.version))

    def is_from(self, library: tuple[int, ...]) -> bool:
        """Tell whether the plan was written by exactly this TensorRT, as far as both versions go."""
        return all(mine == other for mine, other in zip(self.version, library, strict=False))


def read_plan_header(path: Path) -> PlanHeader:
    """Read the header of a plan; raise ModelError for what is not one.

    The layout is printPlanVersion's (samples/common/sampleEngines.cpp in NVIDIA/TensorRT), written since 8.6: the tag
    ``ftrt``, a 32-bit serialization version 0, and the library's version in bytes 24 to 27.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror or error}") from None
    if path.suffix.lower() == ".onnx" and not head.startswith(PLAN_TAG):
        raise ModelError(f"{path.name} is no TensorRT engine; build one from it with `edgesr build`")
    if head.startswith(_OLD_TAG):
        version = _OLD_FORMS.get(head[8] if len(head) > 8 else 0, "8.5 or older")
        raise ModelError(
            f"{path.name} is an engine of TensorRT {version}; edgesr runs those of 8.6 and newer: build it again with "
            "`edgesr build`"
        )
    if not head.startswith(PLAN_TAG):
        what = "empty" if not head else f"no TensorRT engine (it begins with {head[:4]!r}, not {PLAN_TAG!r})"
        raise ModelError(f"{path.name} is {what}; build it again with `edgesr build`")
    if len(head) < _HEADER_BYTES:
        raise ModelError(f"{path.name} is cut off after {len(head)} bytes; build it again with `edgesr build`")
    serialization = int.from_bytes(head[_SERIALIZATION_VERSION], "little")
    if serialization != 0:
        raise ModelError(f"{path.name} is a plan of serialization version {serialization}, edgesr knows version 0")
    return PlanHeader(tuple(head[_LIBRARY_VERSION]))


def recorded_core(path: Path) -> int | None:
    """Return the DLA core that a plan was built for, as the record beside it says; None where it tells of none."""
    try:
        core = json.loads(path.with_suffix(".json").read_text("utf-8"))["facts"]["options"]["dla_core"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return core if isinstance(core, int) and core >= 0 else None
