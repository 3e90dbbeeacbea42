"""One network on its way to lower precision: what ``edgesr build`` tries, and what it compares with FP32."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.cli.build_compare import RUNS, compare_typed, show
from edgesr.cli.build_engine import EngineBuild, Proof
from edgesr.cli.progress import Progress
from edgesr.compile.artifact import gate_record
from edgesr.compile.auto import Choice, Rank, Search, UnfitError
from edgesr.compile.compare import Comparison
from edgesr.compile.emulate import emulated
from edgesr.compile.gate import DEFAULTS, LABEL_DEFAULTS, Thresholds, Verdict, find_worst_layer, require
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import Ranges
from edgesr.compile.sensitivity import spread
from edgesr.compile.tensors import TensorProof
from edgesr.compile.typed import Options, Precision, Typed
from edgesr.errors import UsageError
from edgesr.pipelines.calibrate_labels import LabelProof

_REMAINING: dict[Precision, Precision] = {"int8-fp16": "fp16", "int8": "fp32", "fp16": "fp32"}
"""What remains of a precision without the part that nothing in a network can have."""


class Work:
    """One network with everything that its other forms are made of and compared with."""

    def __init__(self, graph: Graph, ranges: Ranges, proof: Proof, arguments: argparse.Namespace) -> None:
        self._graph = graph
        self._ranges = ranges
        self._proof = proof
        self._arguments = arguments
        self._options = Options(
            io=arguments.io, calibrator=arguments.calibrator, exclude=arguments.exclude, results=proof.results
        )

    def single(self, precision: Precision) -> Choice:
        """Return the network in one precision, with as many layers given up as the gate demands.

        Raise UnfitError, before anything is compared, where nothing of it can have that precision.
        """
        thresholds = self._thresholds(precision)
        try:
            choice = self._searched(thresholds, lambda search: search.mixed(precision))
        except UnfitError as error:
            raise UnfitError(f"{error}; {'keep FP32' if precision == 'fp16' else 'use --fp16'}") from None
        self._require(choice.verdict, thresholds, choice.typed, "", choice.unsuccessful)
        return choice

    def or_higher(self, precision: Precision) -> tuple[Choice, str]:
        """Return `single`, or where nothing can have that precision the one that remains, and why."""
        try:
            return self.single(precision), ""
        except UnfitError as error:
            return self.or_higher(_REMAINING[precision])[0], str(error)

    def automatic(self, *, with_int8: bool, rank: Rank | None = None) -> Choice:
        """Return the cheapest network that reaches the thresholds, by ``rank`` where it is given."""
        thresholds = self._thresholds("fp16")
        return self._searched(thresholds, lambda search: search.cheapest(with_int8=with_int8, rank=rank))

    def evaluate(self, typed: Typed, only: str | None = None) -> Verdict:
        """Compare a network with FP32, with FP16 rounded as it is stored; ``only`` on the picture of that name."""
        return self.compare(typed, emulated(typed.graph), only)

    def compare(self, typed: Typed, graph: Graph, only: str | None = None) -> Verdict:
        """Compare a network, or what imitates it, with FP32."""
        if isinstance(self._proof, TensorProof):
            return self._proof.compare(graph)
        return self._proof.compare(replace(typed, graph=graph), only)

    def layers(self, typed: Typed, engine: EngineBuild | None = None) -> dict[str, Comparison]:
        """Compare the layers of a network with FP32, and those of its engine where there is one."""
        threshold = self._arguments.compare_threshold
        found = {"onnx": compare_typed(self._graph, typed, self._proof.feeds, threshold)}
        if engine is not None:
            found["engine"] = engine.layers(self._graph, typed, spread(self._proof.feeds, RUNS), threshold)
        return found

    def engine_check(self, typed: Typed) -> Callable[[Verdict], dict[str, Any]]:
        """Return what an engine's comparison must pass; FP32 on a GPU is TensorFloat-32, which rounds as FP16 does."""
        asked: Precision = "fp16" if self._arguments.auto or typed.precision == "fp32" else typed.precision

        def check(verdict: Verdict) -> dict[str, Any]:
            self._require(verdict, self._thresholds(asked), typed, "'s engine")
            return gate_record(verdict)

        return check

    def _require(self, verdict: Verdict, thresholds: Thresholds, typed: Typed, kind: str, tried: str = "") -> None:
        if self._arguments.compare and verdict.failures(thresholds):
            show(self.layers(typed), as_json=self._arguments.json)
        require(
            verdict,
            thresholds,
            what=f"{Path(self._graph.source).name}{kind} in {typed.precision}",
            worst_layer=lambda: find_worst_layer(
                self._graph, emulated(typed.graph), self._proof.feed(verdict.worst[0]), among=typed.lowered()
            ),
            tried=tried,
        )

    def _searched(self, thresholds: Thresholds, run: Callable[[Search], Choice]) -> Choice:
        with Progress("layers lowered alone", quiet=self._arguments.json) as progress:
            return run(
                Search(
                    self._graph,
                    self._ranges,
                    self._proof.feeds,
                    self._options,
                    evaluate=self.evaluate,
                    thresholds=thresholds,
                    on_step=progress.show,
                )
            )

    def _thresholds(self, precision: Precision) -> Thresholds:
        given = self._arguments
        defaults = LABEL_DEFAULTS if isinstance(self._proof, LabelProof) else DEFAULTS
        start = defaults["int8" if "int8" in precision else precision]
        if isinstance(self._proof, TensorProof):
            start = replace(start, min_ssim=None)
        changes = {"min_psnr": given.min_psnr, "min_ssim": given.min_ssim, "max_abs": given.max_abs}
        changes["min_agreement"] = given.min_agreement
        foreign = {"min_ssim"} if isinstance(self._proof, LabelProof) else {"min_agreement"}
        for name in sorted(foreign):
            if changes[name] is not None:
                kind = "networks that label pictures" if "min_agreement" in foreign else "networks that make pictures"
                raise UsageError(f"--{name.replace('_', '-')} is for {kind}; leave it out")
        return replace(start, **{name: value for name, value in changes.items() if value is not None})
