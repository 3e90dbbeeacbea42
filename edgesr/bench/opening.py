"""Load a model for a benchmark, in the precision and on the device that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from edgesr.bench.lower import KERNELS, build_lowered
from edgesr.bench.memory import MemoryWatch
from edgesr.bench.spec import Spec
from edgesr.bench.subject import Subject, precision_of
from edgesr.bench.timing import Clock
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError, UsageError
from edgesr.pipelines.load import load, open_model
from edgesr.pipelines.place import chained


def open_subject(
    spec: Spec,
    folder: Path,
    *,
    calib: str | None = None,
    clock: Clock = perf_counter,
    note: Callable[[str], None] = lambda text: None,
    tick: Callable[[str, float | None], None] = lambda phase, last: None,
) -> Subject:
    """Load a model in the precision that is asked for, made in ``folder`` where the model has another one."""
    model, notes, build_ms, told = spec.model, [], None, "fp32"
    options: dict[str, Any] = {**spec.controls, **({"steps": spec.steps} if spec.steps else {})}
    if chained(spec.model) is None:
        told = precision_of(open_model(spec.model, expects=spec.expects))
    wanted = spec.precision or told
    if wanted in KERNELS:
        options["precision"] = wanted
    elif wanted != told:
        if told != "fp32":
            raise UsageError(f"{spec.model} is a network in {told}; name its FP32 package to measure it in {wanted}")
        begin = clock()
        lowered, accuracy = build_lowered(spec.model, wanted, folder, calib=calib, words=_words(spec.expects))
        model, build_ms = str(lowered), (clock() - begin) * 1e3
        notes += [accuracy] if accuracy else []
    said: list[str] = []

    def remember(text: str) -> None:
        said.append(text)
        note(text)

    memory = MemoryWatch(_device_free(spec.device))
    begin = clock()
    pipeline = load(
        model,
        spec.device,
        threads=spec.threads,
        tile=spec.tile,
        expects=spec.expects if model == spec.model else None,
        note=remember,
        tick=tick,
        **options,
    )
    load_ms = (clock() - begin) * 1e3
    return Subject(
        spec,
        pipeline,
        precision=wanted,
        load_ms=load_ms,
        build_ms=build_ms,
        memory=memory,
        notes=[*notes, *said],
        clock=clock,
    )


def _device_free(device: str) -> Callable[[], int] | None:
    """Return what tells the free bytes of the GPU that ``device`` means; None without one."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cuda", "tensorrt"):
        return None
    try:
        gpu = Device(CudaRuntime.load(), int(index or 0))
        _ = gpu.free_memory
    except BackendError:
        return None
    return lambda: gpu.free_memory


def _words(expects: Mapping[str, Any]) -> list[str]:
    names = {"range": "--range", "layout": "--layout", "color": "--channel-order", "scale": "--scale"}
    shown = {
        name: ",".join(f"{n:g}" for n in value) if name == "range" else str(value) for name, value in expects.items()
    }
    return [f"{names[name]}={text}" for name, text in shown.items()]
