"""Pictures of which nobody knows what they show: they are labelled, and compared with nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgesr.bench.label_quality import LabelledPicture, LabelQuality

_MAIN = {"classify": "top1", "segment": "miou", "detect": "map"}


class Unlabelled:
    """Stands where counters of right labels stand; ``reason`` says why there is no truth."""

    def __init__(self, task: str, reason: str) -> None:
        self._task = task
        self._reason = reason
        self._names: list[str] = []

    def check(self, picture: LabelledPicture) -> None:
        """Know nothing of a picture."""

    def add(self, picture: LabelledPicture, truth: None, result: Any, size: tuple[int, int]) -> None:
        """Remember that a picture was labelled."""
        self._names.append(picture.name)

    def quality(self, model: str, failures: Mapping[str, str], options: Mapping[str, Any]) -> LabelQuality:
        """Return no figure, and why."""
        rows = [{"name": name} for name in self._names]
        missing = {_MAIN[self._task]: self._reason}
        return LabelQuality(model, self._task, {}, {}, {}, [], rows, failures, missing, options)
