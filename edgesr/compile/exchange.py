"""What the process that waits for a build and the process that builds tell each other, as files in one folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgesr.compile.recipe import BuildOptions, BuiltPlan, Limits
from edgesr.errors import EdgesrError


@dataclass(frozen=True)
class BuildRequest:
    """What the building process needs to know."""

    onnx: Path
    options: BuildOptions
    device: int = 0
    """Index of the GPU."""
    limits: Limits = field(default_factory=Limits)
    timings: Path | None = None
    """File of timings to use and to add to."""
    is_survey: bool = False
    """Stop when TensorRT has read the network."""


def write_request(folder: Path, request: BuildRequest) -> None:
    """Write what ``read_request`` reads."""
    document = {
        "onnx": str(request.onnx.absolute()),
        "options": request.options.document(),
        "device": request.device,
        "limits": asdict(request.limits),
        "timings": str(request.timings.absolute()) if request.timings else None,
        "is_survey": request.is_survey,
    }
    (folder / "request.json").write_text(json.dumps(document), "utf-8")


def read_request(folder: Path) -> BuildRequest:
    """Read what ``write_request`` wrote."""
    document = json.loads((folder / "request.json").read_text("utf-8"))
    return BuildRequest(
        Path(document["onnx"]),
        BuildOptions.from_document(document["options"]),
        document["device"],
        Limits(**document["limits"]),
        Path(document["timings"]) if document["timings"] else None,
        document["is_survey"],
    )


def write_event(folder: Path, **event: Any) -> None:
    """Tell the process that waits ``phase`` or ``survey``."""
    with (folder / "events").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(event) + "\n")


def write_answer(folder: Path, built: BuiltPlan) -> None:
    """Write a built plan for the process that asked."""
    (folder / "plan").write_bytes(built.plan)
    facts = {name: value for name, value in asdict(built).items() if name in ("warnings", "notes")}
    (folder / "answer.json").write_text(json.dumps(facts), "utf-8")


def write_error(folder: Path, error: EdgesrError) -> None:
    """Write why there is no plan."""
    answer = {"error": str(error), "kind": type(error).__name__}
    (folder / "answer.json").write_text(json.dumps(answer), "utf-8")


def read_answer(folder: Path) -> dict[str, Any] | None:
    """Read what ``write_answer`` or ``write_error`` wrote; None where it is missing or cut off."""
    try:
        answer = json.loads((folder / "answer.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
