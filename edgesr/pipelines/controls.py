"""The model's controls: from what a user gives to the vectors that the network takes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgesr.errors import UsageError
from edgesr.model.descriptor import Control, ModelDescriptor

Values = dict[str, tuple[float, ...]]


def resolve_controls(
    descriptor: ModelDescriptor, given: Mapping[str, Any], defaults: Mapping[str, tuple[float, ...]] | None = None
) -> Values:
    """Return one vector for every control: as ``given`` (number, sequence or choice name), else the default."""
    values: Values = {name: control.default for name, control in descriptor.controls.items()}
    values.update(defaults or {})
    for name, value in given.items():
        if name not in descriptor.controls:
            known = ", ".join(descriptor.controls) or "none"
            close = difflib.get_close_matches(name, descriptor.controls, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"model {descriptor.name} has no control {name!r} (it has: {known}){hint}")
        if value is not None:
            values[name] = _vector(name, descriptor.controls[name], value)
    return values


def show_controls(descriptor: ModelDescriptor, values: Values) -> dict[str, str | float | list[float]]:
    """Return every control as a user would give it: the name of a choice, a number, or the vector itself."""
    shown: dict[str, str | float | list[float]] = {}
    for name, value in values.items():
        choices = descriptor.controls[name].choices or {}
        names = [choice for choice, vector in choices.items() if tuple(vector) == value]
        shown[name] = names[0] if names else value[0] if len(value) == 1 else list(value)
    return shown


def _vector(name: str, control: Control, value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        if control.choices and value in control.choices:
            return control.choices[value]
        expected = ", ".join(control.choices) if control.choices else "a number"
        raise UsageError(f"{name} must be {expected}, got {value!r}")
    numbers = tuple(float(v) for v in value) if isinstance(value, Sequence) else (float(value),)
    if len(numbers) != len(control.default) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{name} takes {len(control.default)} finite number(s), got {value!r}")
    low = -math.inf if control.minimum is None else control.minimum
    high = math.inf if control.maximum is None else control.maximum
    if not all(low <= number <= high for number in numbers):
        raise UsageError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
    return numbers
