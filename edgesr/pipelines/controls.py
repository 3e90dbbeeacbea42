"""The model's controls: from what a user gives to the vectors that the network takes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgesr.errors import UsageError
from edgesr.model.descriptor import Control, ModelDescriptor
from edgesr.model.rules import AUTOMATIC
from edgesr.pipelines.estimate import estimate_shares
from edgesr.types import Array

Vector = tuple[float, ...]
Values = dict[str, Vector | None]
"""A vector for every control, or None for one that each picture decides."""


def resolve_controls(
    descriptor: ModelDescriptor, given: Mapping[str, Any], defaults: Mapping[str, Vector | None] | None = None
) -> Values:
    """Return what holds for every control: as ``given`` (number, sequence or choice name), else the default."""
    values: Values = {name: None if c.estimated else c.default for name, c in descriptor.controls.items()}
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


def estimate_controls(descriptor: ModelDescriptor, values: Values, pixels: Array) -> dict[str, Vector]:
    """Return one vector for every control of one picture ``(H, W, C)``: where it decides, what it shows."""
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) == len(values):
        return known
    shares = estimate_shares((descriptor.degradation or {}).get("estimator"), pixels)
    for name in values.keys() - known.keys():
        known[name] = descriptor.controls[name].default if shares is None else tuple(shares.values())
    return known


def show_controls(descriptor: ModelDescriptor, values: Values) -> dict[str, str | float | list[float]]:
    """Return every control as a user would give it: the name of a choice, a number, or the vector itself."""
    shown: dict[str, str | float | list[float]] = {}
    for name, value in values.items():
        if value is None:
            shown[name] = AUTOMATIC
            continue
        choices = descriptor.controls[name].choices or {}
        names = [choice for choice, vector in choices.items() if tuple(vector) == value]
        shown[name] = names[0] if names else value[0] if len(value) == 1 else list(value)
    return shown


def _vector(name: str, control: Control, value: Any) -> Vector | None:
    if isinstance(value, str):
        if control.estimated and value == AUTOMATIC:
            return None
        if control.choices and value in control.choices:
            return control.choices[value]
        words = [*([AUTOMATIC] if control.estimated else []), *(control.choices or {})]
        raise UsageError(f"{name} must be {', '.join(words) or 'a number'}, got {value!r}")
    numbers = tuple(float(v) for v in value) if isinstance(value, Sequence) else (float(value),)
    if len(numbers) != len(control.default) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{name} takes {len(control.default)} finite number(s), got {value!r}")
    low = -math.inf if control.minimum is None else control.minimum
    high = math.inf if control.maximum is None else control.maximum
    if not all(low <= number <= high for number in numbers):
        raise UsageError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
    return numbers
