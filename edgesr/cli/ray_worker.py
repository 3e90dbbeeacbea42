"""What one worker of ``edgesr run --ray`` does, on whatever machine of the cluster; knows nothing of Ray itself."""

from __future__ import annotations

import argparse
import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from edgesr import __version__
from edgesr.cli.jobs import Job
from edgesr.cli.many import Done
from edgesr.cli.ray_parcel import Parcel
from edgesr.cli.run import extra_outputs, manifest_options, open_pipeline, restore_any
from edgesr.cli.run_labels import SUFFIXES, LabelRun, label_options, refuse_foreign_options
from edgesr.errors import BackendError
from edgesr.pipelines.load import Pipeline
from edgesr.pipelines.pipeline import PicturePipeline


@dataclass(frozen=True)
class Errand:
    """Everything a worker must be told, the same for all."""

    arguments: argparse.Namespace
    parcels: tuple[Parcel, ...]
    folder: str | None
    """The folder that relative paths start from; None where there are none."""
    threads: int
    has_gpu: bool
    version: str = __version__


@dataclass(frozen=True)
class About:
    """What a worker says once it has loaded the model."""

    host: str
    suffix: str
    """What is usually added to the name of an output."""
    extra: tuple[str, ...]
    """Names of the outputs beside the picture."""
    is_labelling: bool
    digest: str
    options: Mapping[str, Any]
    """What the manifest keeps beside the model."""
    meta: Mapping[str, Any]
    notes: tuple[str, ...]
    load_ms: float
    names: tuple[str, ...] = ()
    """Of the classes of a model that labels."""


class Worker:
    """A loaded model that takes one picture at a time; ``about`` describes it."""

    def __init__(self, errand: Errand, *contents: Mapping[str, bytes]) -> None:
        warnings.simplefilter("ignore")
        _check_machine(errand)
        if not errand.has_gpu:  # several versions of Ray leave a worker that asked for none all that there are
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        start = perf_counter()
        model = "+".join(map(Parcel.arrive, errand.parcels, contents))
        settled = {"model": model, "threads": errand.threads, "json": True}
        self._arguments = argparse.Namespace(**{**vars(errand.arguments), **settled})
        self._pipeline = open_pipeline(self._arguments)
        self.about = _about(self._pipeline, self._arguments, (perf_counter() - start) * 1e3)

    def run(self, job: Job) -> Done:
        """Do one picture; a bad one is a record too."""
        for folder in (job.source.parent, job.target.parent):
            if not folder.is_dir():
                raise BackendError(
                    f"{folder.absolute()}: is not on {self.about.host}; pictures and -o must lie on a path that all "
                    "machines of the cluster share"
                )
        if isinstance(self._pipeline, PicturePipeline):
            return Done(restore_any(job, self._pipeline, self._arguments))
        return LabelRun(self._pipeline, self._arguments, None).next(job)


def _about(pipeline: Pipeline, arguments: argparse.Namespace, load_ms: float) -> About:
    common: dict[str, Any] = {
        "host": socket.gethostname(),
        "meta": pipeline.meta(),
        "notes": tuple(pipeline.notes),
        "load_ms": load_ms,
    }
    if isinstance(pipeline, PicturePipeline):
        return About(
            suffix=f"_x{pipeline.scale}",
            extra=extra_outputs(pipeline, arguments),
            is_labelling=False,
            digest=pipeline.package.digest,
            options=manifest_options(pipeline, arguments),
            **common,
        )
    refuse_foreign_options(pipeline, arguments)
    return About(
        suffix=SUFFIXES[pipeline.task],
        extra=(),
        is_labelling=True,
        digest=pipeline.digest,
        options=label_options(pipeline, arguments),
        names=tuple(pipeline.names),
        **common,
    )


def _check_machine(errand: Errand) -> None:
    if errand.version != __version__:
        raise BackendError(
            f"{socket.gethostname()} has edgesr {__version__}, this machine {errand.version}; install the same on all"
        )
    if errand.folder is not None:
        try:
            os.chdir(errand.folder)
        except OSError:
            raise BackendError(
                f"{errand.folder}: is not on {socket.gethostname()}; give absolute paths that all machines share"
            ) from None
