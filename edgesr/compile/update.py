"""Nodes for what stands around the network in a step of the reverse diffusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgesr.compile.graph import DOUBLE, FLOAT, INT64, Graph
from edgesr.compile.join import Assembly, Dimensions
from edgesr.compile.roles import StepRoles
from edgesr.errors import ModelError
from edgesr.schedule import COLUMNS, Schedule, Thresholding

Coefficient = str | float
"""The name of a float32 tensor ``(1,)``, or its value where it is fixed."""


class StepNodes:
    """Writes one step after another into an assembly."""

    def __init__(
        self, assembly: Assembly, network: Graph, roles: StepRoles, schedule: Schedule, hook: Graph | None = None
    ) -> None:
        self._assembly = assembly
        self._network = network
        self._roles = roles
        self._schedule = schedule
        self._hook = hook
        if hook is not None and hook.shapes[hook_input(hook)][1] not in (roles.channels, -1):
            taken = hook.shapes[hook_input(hook)][1]
            raise ModelError(f"{hook.source}: the hook takes {taken} channels, and the state has {roles.channels}")

    def step(
        self,
        name: str,
        state: str,
        row: Mapping[str, Coefficient],
        *,
        network: Mapping[str, str],
        hook: Mapping[str, str],
        dimensions: Dimensions,
        joined: str | None = None,
        previous_x0: str | None = None,
        noise: str | None = None,
    ) -> tuple[str, str]:
        """Add a step and return next state and x0.

        ``row`` holds the columns of ``COLUMNS`` but t; ``network`` and ``hook`` feed the inputs of these graphs other
        than state and x0; ``joined`` is the condition that is concatenated to the state.
        """
        add = self._assembly
        scaled = total(add, f"{name}scaled", [(row["c_in"], state)])
        taken = scaled if joined is None else add.node("Concat", [scaled, joined], f"{name}joined", axis=1)
        kind = self._network.types[self._roles.state]
        taken = taken if kind == FLOAT else add.cast(taken, kind, f"{name}cast_in")
        copy = f"{name}network/"
        feeds = {**network, self._roles.state: taken}
        out = add.add(self._network, feeds, weights="network/", copy=copy)[self._roles.output]
        if self._network.types[self._roles.output] != FLOAT:
            out = add.cast(out, FLOAT, f"{name}cast_out")
        x0 = self._clamped(f"{name}x0", total(add, f"{name}raw", [(row["a"], state), (row["b"], out)]), dimensions)
        if self._hook is not None:
            outputs = add.add(self._hook, {**hook, hook_input(self._hook): x0}, weights="hook/", copy=f"{name}hook/")
            x0 = outputs[self._hook.outputs[0]]
        terms = [(row["p"], state), (row["q"], x0)]
        terms += [(row["r"], previous_x0)] if previous_x0 is not None else []
        terms += [(row["s"], noise)] if noise is not None else []
        return total(add, f"{name}next", terms), x0

    def _clamped(self, name: str, x0: str, dimensions: Dimensions) -> str:
        add, clip = self._assembly, self._schedule.clip
        if self._schedule.thresholding is not None:
            limit = self._limit(f"{name}.", x0, self._schedule.thresholding, dimensions)
            negative = add.node("Neg", [limit], f"{name}.negative")
            held = add.node("Min", [add.node("Max", [x0, negative], f"{name}.above"), limit], f"{name}.below")
            return add.node("Div", [held, limit], f"{name}.threshold")
        if clip is None:
            return x0
        low = add.constant("loop/low", np.array(-clip, np.float32))
        return add.node("Clip", [x0, low, add.constant("loop/high", np.array(clip, np.float32))], f"{name}.clip")

    def _limit(self, name: str, x0: str, thresholding: Thresholding, dimensions: Dimensions) -> str:
        """Return the quantile of ``|x0|`` for each picture of the batch, held in its limits, ``(n, 1, ...)``."""
        add = self._assembly
        magnitudes = add.node("Flatten", [add.node("Abs", [x0], f"{name}abs")], f"{name}flat", axis=1)
        sizes = [size for size in dimensions[1:] if isinstance(size, int)]
        if len(sizes) == len(dimensions) - 1:
            exact = thresholding.ratio * (math.prod(sizes) - 1)
            count = add.constant(f"{name}count", [math.prod(sizes) - math.floor(exact)])
            fraction = add.constant(f"{name}fraction", exact - math.floor(exact))
        else:
            one = add.constant(f"{name}one", [1])
            total = add.node("Gather", [add.node("Shape", [magnitudes], f"{name}shape"), one], f"{name}total")
            last = add.cast(add.node("Sub", [total, one], f"{name}rest"), DOUBLE, f"{name}last")
            place = add.node(
                "Mul", [last, add.constant(f"{name}ratio", np.array([thresholding.ratio]))], f"{name}place"
            )
            below = add.node("Floor", [place], f"{name}whole")
            count = add.node("Sub", [total, add.cast(below, INT64, f"{name}index")], f"{name}count")
            fraction = add.cast(add.node("Sub", [place, below], f"{name}over"), FLOAT, f"{name}fraction")
        largest = add.node("TopK", [magnitudes, count], f"{name}largest", count=2, axis=1)
        lower = self._entry(f"{name}lower", largest, -1, None)
        pair = self._entry(f"{name}pair", largest, -2, None)
        upper = self._entry(f"{name}upper", pair, 0, 1)
        step = add.node("Mul", [add.node("Sub", [upper, lower], f"{name}gap"), fraction], f"{name}step")
        quantile = add.node("Add", [lower, step], f"{name}quantile")
        bounds = [
            add.constant(f"{name}bound{i}", np.array(v, np.float32)) for i, v in enumerate((1, thresholding.largest))
        ]
        limit = add.node("Clip", [quantile, *bounds], f"{name}limit")
        return add.node(
            "Unsqueeze", [limit, add.constant(f"{name}axes", list(range(2, len(dimensions))))], f"{name}wide"
        )

    def _entry(self, name: str, tensor: str, start: int, end: int | None) -> str:
        """Return entries of the second axis."""
        add = self._assembly
        ends = np.iinfo(np.int64).max if end is None else end
        limits = [
            add.constant(f"{name}.{key}", [value]) for key, value in (("start", start), ("end", ends), ("axis", 1))
        ]
        return add.node("Slice", [tensor, *limits], name)


def total(add: Assembly, name: str, terms: Sequence[tuple[Coefficient, str]]) -> str:
    """Add the sum of products of coefficients and tensors; fixed coefficients of 0 and 1 cost nothing."""
    products = []
    for index, (factor, tensor) in enumerate(terms):
        if isinstance(factor, float) and factor in (0.0, 1.0):
            products += [tensor] * int(factor)
            continue
        if isinstance(factor, float):
            factor = add.constant(f"{name}.factor{index}", factor)
        products.append(add.node("Mul", [tensor, factor], f"{name}.product{index}"))
    while len(products) > 1:
        products[:2] = [add.node("Add", products[:2], f"{name}.sum{len(products)}")]
    return products[0]


def hook_input(hook: Graph) -> str:
    """Return the input of a hook that is the picture to project: ``x0``, or the only one."""
    if "x0" in hook.inputs:
        return "x0"
    if len(hook.inputs) != 1:
        raise ModelError(f"{hook.source}: the hook needs an input called 'x0', it has {', '.join(hook.inputs)}")
    return hook.inputs[0]


def columns(row: str, assembly: Assembly) -> dict[str, Coefficient]:
    """Split a row ``(8,)`` into its columns."""
    ones = assembly.constant("loop/ones", [1] * len(COLUMNS))
    assembly.node("Split", [row, ones], "loop/columns", count=len(COLUMNS), axis=0)
    return {column: f"loop/columns.{index}" for index, column in enumerate(COLUMNS)}
