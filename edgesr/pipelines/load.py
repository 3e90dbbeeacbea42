"""Open a model by name, package or ONNX file, on a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgesr.engines import Backend, open_backend
from edgesr.errors import BackendError, BuildError, ModelError, UsageError
from edgesr.model import DEFAULT_MODEL, ModelPackage, describe_onnx, find, open_package
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.place import Place, chained
from edgesr.pipelines.restore import Restorer
from edgesr.types import Array

if TYPE_CHECKING:
    from edgesr.pipelines.chain import Chain
    from edgesr.pipelines.label_pipeline import LabelPipeline

Pipeline: TypeAlias = "PicturePipeline | LabelPipeline[Any] | Chain"


def load(
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str = "auto",
    color: Literal["rgb", "bgr"] = "rgb",
    *,
    threads: int | None = None,
    providers: list[str] | None = None,
    precision: Literal["fp32", "bf16"] | None = None,
    tile: int | None = None,
    tta: bool = False,
    expects: Mapping[str, Any] | None = None,
    note: Callable[[str], None] = lambda text: None,
    tick: Callable[[str, float | None], None] = lambda phase, last: None,
    **controls: Any,
) -> Pipeline:
    """Load a model: a name (see ``edgesr models``), a package ``NAME.edgesr`` or folder, or a bare ``.onnx`` file.

    The task of the model decides what is returned: a Restorer, LatentDiffusion, Classifier, Segmenter or Detector, or
    a Chain for a chain package and for ``RESTORATION+TASK``, which names two models.

    ``device`` is ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"openvino"``, ``"tensorrt"`` or ``"tensorrt:N"``;
    ``precision`` is that of OpenVINO's kernels, compared with FP32 before it is used. ``color`` is the channel order of
    the colour pictures that you pass and get: ``"rgb"``, or ``"bgr"`` as in OpenCV. ``threads`` is the number of CPU
    threads, ``providers`` ONNX Runtime's execution providers, ``tile`` the tile side in input pixels; ``tta`` averages
    over flips and rotations. ``expects`` says what a bare ONNX file leaves open: ``range`` (e.g. ``(0, 255)``),
    ``layout``, ``scale``, ``color``. Further keywords set the model's controls, e.g. ``fidelity=1.0``.

    On TensorRT the network is compiled for one tile size when it is first used on a machine, which takes minutes;
    ``note`` is told, and ``tick`` is called every fraction of a second with what the build does and how many seconds
    the last one took. Where ``auto`` chose TensorRT and it cannot compile the network, ONNX Runtime runs it.
    """
    place = Place(device, threads, providers, note, tick, precision)
    options: dict[str, Any] = {"color": color, **controls}

    def first(package: ModelPackage, options: Mapping[str, Any]) -> PicturePipeline:
        return _load_pictures(package, place, tile=tile, tta=tta, **options)

    both = chained(model)
    if both is not None:
        _refuse_precision(precision, "a chain of two models")
        from edgesr.pipelines.load_labels import load_chain

        return load_chain((open_model(both[0], expects=expects), open_model(both[1])), place, first, options)
    package = open_model(model, expects=expects)
    task = package.descriptor.task
    if task == "chain" or task in LABEL_TASKS:
        _refuse_precision(precision, f"model {package.descriptor.name}, which has task {task},")
    if task == "chain":
        from edgesr.model.chain import stages
        from edgesr.pipelines.load_labels import load_chain

        return load_chain(stages(package), place, first, options)
    if task in LABEL_TASKS:
        if tile is not None or tta:
            name = "tile" if tile is not None else "tta"
            raise UsageError(f"{name} is for restoration; model {package.descriptor.name} has task {task}")
        from edgesr.pipelines.load_labels import load_labels

        return load_labels(package, place, **options)
    return first(package, options)


def _load_pictures(
    package: ModelPackage, place: Place, *, tile: int | None, tta: bool, **options: Any
) -> PicturePipeline:
    is_diffusion = package.descriptor.task == "latent-diffusion"
    if is_diffusion and tta:
        raise UsageError("a latent diffusion averages over samples, not over flips; use samples in place of tta")
    settings: dict[str, Any] = {"tile": tile, **options} | ({} if is_diffusion else {"tta": tta})
    lower = place.precision if place.precision != "fp32" else None
    backend = place.open()
    if backend.name.startswith("tensorrt"):
        try:
            return _compiled(package, backend, note=place.note, tick=place.tick, **settings)
        except (BackendError, BuildError, ModelError) as error:
            if place.device != "auto":
                raise
            place.note(f"TensorRT is left out: {error}")
        backend = place.without_tensorrt()
    make: Callable[..., PicturePipeline] = Restorer
    if is_diffusion:
        from edgesr.pipelines.diffusion import LatentDiffusion

        make = LatentDiffusion
    pipeline = make(package, backend, **settings)
    if lower is None:
        return pipeline
    from edgesr.pipelines.lower_precision import require_close

    try:
        require_close(pipeline, lambda: make(package, place.in_fp32().open(), **settings), lower, place.note)
    except BaseException:
        pipeline.close()
        raise
    return pipeline


def _refuse_precision(precision: str | None, what: str) -> None:
    if precision not in (None, "fp32"):
        raise UsageError(f"precision {precision} is compared with FP32 on pictures, which {what} does not make")


def _compiled(package: ModelPackage, backend: Backend, **options: Any) -> PicturePipeline:
    if package.descriptor.task == "latent-diffusion":
        from edgesr.pipelines.compiled_diffusion import load_compiled_diffusion

        return load_compiled_diffusion(package, backend, **options)
    from edgesr.pipelines.compiled import load_compiled

    return load_compiled(package, backend, **options)


def open_model(model: str | os.PathLike[str], *, expects: Mapping[str, Any] | None = None) -> ModelPackage:
    """Open a package, or describe a bare ONNX file by looking at it and running it on probes."""
    path = find(os.fspath(model))
    if path.suffix.lower() == ".onnx":
        return describe_onnx(path, probe=cpu_probe, **(expects or {}))
    if expects:
        raise UsageError(
            f"{', '.join(expects)} can be set for bare .onnx files only; {path.name} says so itself (edgesr inspect)"
        )
    return open_package(path)


def cpu_probe(path: Path) -> Callable[[Mapping[str, Array]], Mapping[str, Array]]:
    """Open an ONNX file on the CPU and return a function from input arrays to output arrays, by name."""
    backend: Backend = open_backend("cpu")
    engine = backend.load(path)

    def run(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        buffers = {}
        for name, array in arrays.items():
            buffers[name] = backend.empty(array.shape, array.dtype)
            buffers[name].copy_from(array)
        return {name: buffer.numpy() for name, buffer in engine.run(buffers).items()}

    return run
