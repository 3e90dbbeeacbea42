"""Open models that label pictures, alone or behind a restoration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgesr.errors import BackendError, BuildError, ModelError, StaleEngineError
from edgesr.model.chain import check_stages
from edgesr.model.package import ModelPackage
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.classify import Classifier
from edgesr.pipelines.detect import Detector
from edgesr.pipelines.detect_regions import RegionDetector
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.place import Place
from edgesr.pipelines.segment import Segmenter

if TYPE_CHECKING:
    from pathlib import Path

    from edgesr.engines.trt import TrtBackend

PIPELINES: Mapping[str, type[LabelPipeline[Any]]] = {
    "classify": Classifier,
    "segment": Segmenter,
    "detect": Detector,
}
"""By task."""


def load_chain(
    packages: tuple[ModelPackage, ModelPackage],
    place: Place,
    restorer: Callable[[ModelPackage, Mapping[str, Any]], Any],
    options: Mapping[str, Any],
) -> Chain:
    """Open a chain; of ``options`` the thresholds go to the task and everything else to ``restorer``."""
    first, second = packages
    check_stages(first.descriptor, second.descriptor, f"{first.descriptor.name}+{second.descriptor.name}")
    known = PIPELINES[second.descriptor.task].options
    thresholds = {name: value for name, value in options.items() if name in known}
    rest = {name: value for name, value in options.items() if name not in known}
    opened = restorer(first, rest)
    try:
        color = {"color": options["color"]} if "color" in options else {}
        return Chain(opened, load_labels(second, place, **color, **thresholds))
    except BaseException:
        opened.close()
        raise


def pipeline_of(package: ModelPackage) -> type[LabelPipeline[Any]]:
    """Return the pipeline that runs a package whose task is to label pictures."""
    descriptor = package.descriptor
    return RegionDetector if descriptor.prediction.proposals is not None else PIPELINES[descriptor.task]


def load_labels(package: ModelPackage, place: Place, **options: Any) -> LabelPipeline[Any]:
    """Open a package whose task is to label pictures."""
    make = pipeline_of(package)
    backend = place.open()
    if not backend.name.startswith("tensorrt"):
        return make(package, backend, **options)
    from edgesr.engines.trt import TrtBackend

    try:
        if not isinstance(backend, TrtBackend):
            raise BackendError(f"backend {backend.name} cannot run TensorRT engines; open one with device tensorrt")
        return _compiled(make, package, backend, place, options)
    except (BackendError, BuildError, ModelError) as error:
        backend.close()
        if place.device != "auto":
            raise
        place.note(f"TensorRT is left out: {error}")
    return make(package, place.without_tensorrt(), **options)


def _compiled(
    make: Callable[..., LabelPipeline[Any]],
    package: ModelPackage,
    backend: TrtBackend,
    place: Place,
    options: dict[str, Any],
) -> LabelPipeline[Any]:
    from edgesr.compile.compiler import Compiler, Source
    from edgesr.pipelines.label_profile import label_profile

    compiler = Compiler(backend.tensorrt, backend.device, note=place.note, tick=place.tick)
    builds = {
        part: (
            Source(package.part_path(part), package.part_digest(part), package.descriptor.name),
            compiler.options(label_profile(package, part)),
        )
        for part in package.descriptor.parts
    }

    def plans() -> dict[str, Path]:
        return {part: compiler.compile(*build, any_tuning=True) for part, build in builds.items()}

    found = plans()
    try:
        return make(package, backend, **found, **options)
    except StaleEngineError as error:
        place.note(f"the cached engine of {package.descriptor.name} does not load and is built again: {error}")
        for plan in found.values():
            compiler.cache.forget(plan)
    return make(package, backend, **plans(), **options)
