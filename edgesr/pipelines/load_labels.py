"""Open models that label pictures, alone or behind a restoration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgesr.errors import BackendError, BuildError, ModelError, StaleEngineError
from edgesr.model.chain import check_stages
from edgesr.model.label_rules import NETWORK
from edgesr.model.package import ModelPackage
from edgesr.pipelines.chain import Chain
from edgesr.pipelines.classify import Classifier
from edgesr.pipelines.detect import Detector
from edgesr.pipelines.label_pipeline import LabelPipeline
from edgesr.pipelines.place import Place
from edgesr.pipelines.segment import Segmenter

if TYPE_CHECKING:
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


def load_labels(package: ModelPackage, place: Place, **options: Any) -> LabelPipeline[Any]:
    """Open a package whose task is to label pictures."""
    make = PIPELINES[package.descriptor.task]
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
    make: type[LabelPipeline[Any]], package: ModelPackage, backend: TrtBackend, place: Place, options: dict[str, Any]
) -> LabelPipeline[Any]:
    from edgesr.compile.compiler import Compiler, Source
    from edgesr.pipelines.label_profile import label_profile

    profile = label_profile(package)
    compiler = Compiler(backend.tensorrt, backend.device, note=place.note, tick=place.tick)
    source = Source(package.part_path(NETWORK), package.part_digest(NETWORK), package.descriptor.name)
    plan = compiler.compile(source, compiler.options(profile), any_tuning=True)
    try:
        return make(package, backend, network=plan, **options)
    except StaleEngineError as error:
        place.note(f"the cached engine of {package.descriptor.name} does not load and is built again: {error}")
        compiler.cache.forget(plan)
    plan = compiler.compile(source, compiler.options(profile), any_tuning=True)
    return make(package, backend, network=plan, **options)
