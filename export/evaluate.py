"""Measure packages of any task on a data set: quality, accuracy, groups, intervals; without PyTorch."""

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgesr.bench.evaluate import LOWEST_SCORE, Material, Measured, document, evaluate
from edgesr.bench.labels_file import read_labels
from edgesr.bench.metrics import CHANNELS, METRICS, Lpips
from edgesr.bench.metrics.figures import check_metrics
from edgesr.bench.quality import QualityOptions, bicubic, measure_quality
from edgesr.errors import EdgesrError, UsageError
from edgesr.image.resample import KERNELS
from edgesr.model.atomic import replacing, saying_why
from edgesr.pipelines.load import load
from edgesr.pipelines.pipeline import PicturePipeline
from export.evaluate_text import text
from export.say import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("models", nargs="+", metavar="PKG", help="name, package, .onnx file, or RESTORATION+TASK")
    data = parser.add_argument_group("data set")
    data.add_argument("--images", metavar="PATH", help="references whose low resolution is made, or pictures to label")
    data.add_argument("--lr", metavar="PATH", help="low resolution; without --hr only what needs no reference")
    data.add_argument("--hr", metavar="PATH", help="references, matched by name; endings like x4 and _LR do not count")
    data.add_argument(
        "--downscale",
        choices=KERNELS,
        help="how low resolution is made of --images (restorations: cubic); of a chain's, none is made unless given",
    )
    data.add_argument("--labels", metavar="FILE.csv", help="table with a column of files: classes, groups, patients")
    data.add_argument("--label-column", metavar="NAME", help="column of the class (default: label, class or target)")
    data.add_argument(
        "--groups", type=_words, default=(), metavar="A,B", help="columns to make tables by: sex,age:40:60"
    )
    data.add_argument("--patient", metavar="NAME", help="column of what belongs together (default: patient, subject)")
    data.add_argument("--masks", metavar="DIR", help="true masks of a segmentation: class numbers, or VOC's colours")
    data.add_argument("--mask-values", type=_numbers, metavar="A,B", help="grey values of the classes, as 0,255")
    data.add_argument("--classes", type=int, metavar="N", help="of a segmentation whose package names none")
    data.add_argument("--annotations", metavar="PATH", help="drawn boxes: a COCO .json file or a folder of VOC .xml")
    data.add_argument("--limit", type=int, metavar="N", help="use at most so many pictures, evenly spread")
    figures = parser.add_argument_group("figures")
    figures.add_argument("--metrics", type=_words, metavar="A,B", help=f"only these of {', '.join(METRICS)}")
    figures.add_argument("--border", type=int, metavar="PIXELS", help="left out on each side (default: the scale)")
    figures.add_argument("--channel", choices=CHANNELS, default="rgb", help="of PSNR and SSIM; y: BT.601 luma")
    figures.add_argument("--lpips", metavar="FILE.onnx", help="network made by python -m export lpips")
    figures.add_argument("--fp32", metavar="PKG", help="model whose pictures psnr_fp32 compares with")
    figures.add_argument("--no-baseline", action="store_true", help="leave out the row of bicubic enlargement")
    figures.add_argument(
        "--score", type=float, metavar="0..1", help=f"boxes need a score above it (default: {LOWEST_SCORE})"
    )
    run = parser.add_argument_group("run")
    run.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N")
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all usable cores)")
    run.add_argument("--control", action="append", default=[], metavar="NAME=VALUE", help="as fidelity=1; repeatable")
    run.add_argument("--json", action="store_true", help="print one JSON document in place of tables")
    run.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write the JSON document too")


def execute(arguments: argparse.Namespace) -> int:
    """Measure every model; return 6 where pictures or models failed."""
    material, controls = _material(arguments), dict(map(_control, arguments.control))
    check_metrics(arguments.metrics)
    measured: list[Measured] = []
    broken: dict[str, str] = {}
    scales: list[int] = []
    with contextlib.ExitStack() as stack:
        lpips = stack.enter_context(Lpips(arguments.lpips)) if arguments.lpips else None
        options = QualityOptions(arguments.border, arguments.channel, arguments.metrics, lpips=lpips)
        for model in arguments.models:
            try:
                with _opened(model, arguments, controls) as pipeline, _reference(arguments) as fp32:
                    measured.append(
                        evaluate(model, pipeline, material, options, fp32=fp32, score=arguments.score, note=say)
                    )
                    if isinstance(pipeline, PicturePipeline) and pipeline.scale > 1 and pipeline.scale not in scales:
                        scales.append(pipeline.scale)
            except EdgesrError as error:
                if len(arguments.models) == 1:
                    raise
                broken[model] = str(error)
                say(f"{model}: {error}")
        if not arguments.no_baseline:
            for scale in scales:
                base = measure_quality(
                    "bicubic", bicubic(scale), scale, material.pairs(), options, groups=material.about
                )
                measured.insert(0, base)
    result = document(measured, material) | {"failed_models": broken}
    if arguments.output:
        with saying_why(arguments.output), replacing(arguments.output) as file:
            file.write(json.dumps(result, indent=1).encode())
    print(json.dumps(result, indent=1) if arguments.json else text(measured))
    return 6 if broken or any(one.failures or not one.rows for one in measured) else 0


def _material(arguments: argparse.Namespace) -> Material:
    labels = None
    if arguments.labels:
        labels = read_labels(
            arguments.labels, label=arguments.label_column, groups=arguments.groups, cluster=arguments.patient
        )
    elif arguments.groups or arguments.label_column or arguments.patient:
        raise UsageError("--groups, --label-column and --patient name columns of a table; give it with --labels")
    return Material(
        images=arguments.images,
        low=arguments.lr,
        high=arguments.hr,
        kernel=arguments.downscale,
        labels=labels,
        masks=arguments.masks,
        mask_values=arguments.mask_values,
        classes=arguments.classes,
        annotations=arguments.annotations,
        limit=arguments.limit,
    )


def _opened(model: str, arguments: argparse.Namespace, controls: dict[str, Any]) -> Any:
    return load(model, device=arguments.device, threads=arguments.threads, note=say, **controls)


@contextlib.contextmanager
def _reference(arguments: argparse.Namespace) -> Iterator[Any]:
    if arguments.fp32 is None:
        yield None
        return
    with load(arguments.fp32, device=arguments.device, threads=arguments.threads, note=say) as pipeline:
        if not isinstance(pipeline, PicturePipeline):
            raise UsageError(f"--fp32 {arguments.fp32}: makes no pictures, it has task {pipeline.task}")
        yield pipeline


def _control(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise UsageError(f"--control needs NAME=VALUE, as fidelity=1, got {word!r}")
    try:
        return name, int(value) if value.isdecimal() else float(value)
    except ValueError:
        return name, value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in _words(text))
