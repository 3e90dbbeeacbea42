"""What the models of a benchmark are worth: their figures, and how far they are from their FP32 form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.bench.entry import Entry
from edgesr.bench.evaluate import counter_of, evaluate_labels
from edgesr.bench.inputs import shrink_of
from edgesr.bench.label_quality import LabelledPicture
from edgesr.bench.opening import open_subject
from edgesr.bench.pairs import PicturePair
from edgesr.bench.plan import Plan, Watchers
from edgesr.bench.quality import measure_quality
from edgesr.bench.subject import Subject
from edgesr.bench.unlabelled import Unlabelled
from edgesr.errors import EdgesrError, InputError, ModelError, UsageError
from edgesr.pipelines.agreement import AgreementCounter
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.types import Array


def measure_entries(entries: Sequence[Entry], plan: Plan, told: Watchers, folder: Path) -> None:
    """Measure every model on all pictures, those in FP32 first; ``folder`` is for their temporary files."""
    if plan.quality is None:
        return
    ready = [entry for entry in entries if entry.subject is not None and entry.error is None]
    for entry in sorted(ready, key=lambda it: it.subject is not None and it.subject.precision != "fp32"):
        subject = entry.subject
        assert subject is not None
        try:
            with _fp32_of(entry, entries, plan, told, folder) as reference:
                entry.quality, failures = _measure(entry, subject, reference.subject if reference else None, plan, told)
                if reference is not None:
                    _set_against(entry.quality, reference, plan, told)
        except EdgesrError as error:
            entry.error = error
            continue
        if failures:
            _leave_out(entry, subject, plan, failures)


def _measure(
    entry: Entry, subject: Subject, reference: Subject | None, plan: Plan, told: Watchers
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the figures as a document, and the pictures that failed."""
    if not isinstance(subject.pipeline, PicturePipeline):
        return _measure_labels(entry, subject, reference, plan, told)
    quality = measure_quality(
        subject.spec.model,
        _counted(subject.restore, entry, plan, told),
        subject.scale,
        plan.pairs,
        plan.quality,
        fp32=reference.restore if reference else None,
        groups=plan.material.about,
    )
    return quality.document(), dict(quality.failures)


def _measure_labels(
    entry: Entry, subject: Subject, reference: Subject | None, plan: Plan, told: Watchers
) -> tuple[dict[str, Any], dict[str, str]]:
    pipeline = subject.pipeline
    assert not isinstance(pipeline, PicturePipeline)
    both = AgreementCounter()
    least = float(pipeline.meta().get("score") or 0.0)

    def label(pixels: Array, **thresholds: Any) -> Any:
        found = pipeline(pixels, **thresholds)
        if reference is not None:
            # With its own threshold, where the truth is compared with all boxes.
            own = _above(found, least) if "score" in thresholds else found
            both.add("", own, reference.label(pixels))
        return found

    try:
        counter = counter_of(subject.spec.model, pipeline, plan.material)
    except (UsageError, ModelError) as error:
        entry.notes.append(f"not compared with the truth: {error}")
        counter = Unlabelled(pipeline.task, str(error))
    pictures = [_labelled(pair, plan) for pair in plan.pairs]
    measured = evaluate_labels(
        subject.spec.model,
        pipeline,
        pictures,
        counter,
        shrink=shrink_of(pipeline, plan.pairs[0]),
        label=_counted(label, entry, plan, told),
    )
    agreed = both.agreement()
    if agreed is not None:
        values, options = {**measured.values, "agreement": agreed.value}, {"agreement": agreed.metric}
        measured = replace(measured, values=values, options={**measured.options, **options})
    return measured.document(), dict(measured.failures)


def _labelled(pair: PicturePair, plan: Plan) -> LabelledPicture:
    path = pair.low or pair.high
    assert path is not None
    return replace(plan.material.labelled(path) or LabelledPicture(path, pair.name), name=pair.name)


def _above(found: Any, score: float) -> Any:
    """Return detections without the boxes of lower scores, as the detector's own threshold would."""
    kept = found.conf > score
    return replace(found, xyxy=found.xyxy[kept], conf=found.conf[kept], cls=found.cls[kept])


def _counted(run: Callable[..., Any], entry: Entry, plan: Plan, told: Watchers) -> Callable[..., Any]:
    """Return a function that tells its progress with every picture."""
    done = 0

    def counted(pixels: Array, **options: Any) -> Any:
        nonlocal done
        told.progress(f"{entry.spec.title}: quality", done / len(plan.pairs))
        done += 1
        return run(pixels, **options)

    return counted


@contextmanager
def _fp32_of(
    entry: Entry, entries: Sequence[Entry], plan: Plan, told: Watchers, folder: Path
) -> Iterator[Entry | None]:
    """Lend the FP32 form of a model in lower precision: of this run, or opened for the comparison; None for none."""
    subject = entry.subject
    if subject is None or subject.precision == "fp32" or entry.spec.precision is None:
        yield None
        return
    wanted = replace(entry.spec, precision=None)
    for other in entries:
        has_run = other.subject is not None and other.error is None and other.subject.precision == "fp32"
        if has_run and replace(other.spec, precision=None) == wanted:
            yield other
            return
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(open_subject(wanted, folder, note=told.note, tick=told.tick))
        except EdgesrError as error:
            entry.notes.append(f"not compared with FP32: {error}")
            yield None
            return
        yield Entry(wanted, opened) if opened.precision == "fp32" else None


def _set_against(quality: dict[str, Any], reference: Entry, plan: Plan, told: Watchers) -> None:
    """Write down what every figure is above that of the FP32 form, which agrees with itself."""
    if reference.quality is None:
        assert reference.subject is not None
        reference.quality = _measure(reference, reference.subject, None, plan, told)[0]
    kind = "values" if "values" in quality else "mean"
    figures, base = quality[kind], reference.quality[kind]
    if "agreement" in figures:
        base["agreement"] = 1.0
    quality["delta_fp32"] = {
        name: value - base[name]
        for name, value in figures.items()
        if name != "agreement" and _is_number(value) and _is_number(base.get(name))
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _leave_out(entry: Entry, subject: Subject, plan: Plan, failures: dict[str, str]) -> None:
    """Name the pictures that failed, and time the others alone."""
    # What could not be read at all was told before.
    told_before = [text.removeprefix("not timed: ") for text in entry.notes]
    entry.notes += [f"failed on {name}: {reason}" for name, reason in failures.items() if reason not in told_before]
    makes_pictures = isinstance(subject.pipeline, PicturePipeline)
    if makes_pictures and len(failures) == len(plan.pairs):
        entry.error = InputError(f"all pictures failed: {next(iter(failures.values()))}")
        return
    kept = []
    for pair in plan.timed:
        if pair.name in failures and (makes_pictures or not _can_label(subject, pair)):
            continue
        try:
            kept.append(subject.input_of(pair))
        except InputError:
            continue
    if not kept:
        entry.error = InputError(f"all pictures failed: {next(iter(failures.values()))}")
        return
    entry.pictures = kept
    subject.use(kept)


def _can_label(subject: Subject, pair: PicturePair) -> bool:
    """Tell whether it was the truth that failed, and not the network."""
    try:
        subject.label(subject.input_of(pair))
    except EdgesrError:
        return False
    return True
