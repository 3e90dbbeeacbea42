"""Which file is restored into which."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from edgesr.cli.manifest import outputs_of
from edgesr.errors import InputError, UsageError
from edgesr.image.formats import SUFFIXES as WRITABLE
from edgesr.pipelines.sources import SUFFIXES, find_pictures, is_dicom, is_folder, is_pattern

_MAPS = {".tif": ".tif", ".tiff": ".tif", ".dcm": ".dcm", ".dicom": ".dcm"}
# Formats that cannot hold what comes out of a network without loss are written as PNG unless asked for by name.
_TO_PNG = frozenset((".jpg", ".jpeg", ".jpe", ".webp"))


@dataclass(frozen=True)
class Job:
    """One picture to restore."""

    source: Path
    target: Path
    folder: Path | None
    """The output folder that holds the manifest; None for single files and files beside their inputs."""
    suffix: str | None = None
    """What ``resolve_jobs`` adds to the name of the target; None for what is usual, e.g. ``_x<scale>``."""
    extra: tuple[str, ...] = ()
    """Names of the further outputs that are written."""

    @property
    def error_map(self) -> Path:
        """Where the predicted error is written when it is asked for: DICOM beside DICOM, TIFF beside TIFF, else PNG."""
        suffix = _MAPS.get(self.target.suffix.lower(), ".png")
        return self.target.with_name(f"{self.target.stem}_uncertainty{suffix}")

    @property
    def heat_map(self) -> Path:
        """Where the picture coloured by the predicted error is written when it is asked for."""
        return self.target.with_name(f"{self.target.stem}_heatmap{self.error_map.suffix}")

    @property
    def extra_paths(self) -> dict[str, list[Path]]:
        """Where further outputs are written, by name: their numbers, and a picture to look at."""
        stem = self.target.stem
        return {name: [self.target.with_name(f"{stem}_{name}{end}") for end in (".npy", ".png")] for name in self.extra}

    @property
    def mask(self) -> Path:
        """Where the classes of the pixels are written, as a PNG."""
        return self.target.with_name(f"{self.target.stem.removesuffix('_overlay')}_mask.png")


def plan_jobs(
    inputs: list[str], *, output: str | None, suffix: str | None, extension: str | None, recursive: bool
) -> list[Job]:
    """Pair every input picture with its output; raise UsageError when the options contradict each other."""
    if suffix is not None and ("/" in suffix or "\0" in suffix):
        raise UsageError(f"--suffix {suffix!r} must not hold a slash")
    extension = _extension(extension)
    if len(inputs) == 1 and not is_folder(inputs[0]) and not is_pattern(inputs[0]):
        return [_single(Path(inputs[0]), output, suffix, extension)]
    if output is not None and not _can_be_folder(output):
        raise UsageError(f"-o {output}: names a file, but there can be several pictures; give a folder")
    jobs: dict[Path, Job] = {}
    for text in inputs:
        root, folder = _root(text), _folder(text, output)
        is_own = _own_outputs(root, folder)
        for source in _found(text, recursive=recursive):
            if text == os.fspath(source) or not is_own(source):
                place = source.parent if folder is None else folder / source.parent.relative_to(root)
                job = Job(source, place / _name(source, extension), folder, suffix)
                jobs.setdefault(source.absolute(), job)
    if not jobs:
        raise InputError(f"{', '.join(inputs)}: holds only pictures that edgesr wrote; give others, or another -o")
    return _distinct(list(jobs.values()))


def _found(text: str, *, recursive: bool) -> list[Path]:
    try:
        return find_pictures(text, recursive=recursive)
    except InputError as error:
        if recursive or not is_folder(text):
            raise
        raise InputError(f"{error}; take those with --recursive") from None


def drawn_jobs(jobs: list[Job], *, output: str | None, extension: str | None) -> list[Job]:
    """Return jobs that draw PNG on DICOM files, unless ``output`` or ``extension`` names a format."""
    if extension is not None or (output and Path(output).suffix.lower() in WRITABLE):
        return jobs
    png = [
        replace(job, target=job.target.with_suffix(".png")) if _MAPS.get(job.target.suffix.lower()) == ".dcm" else job
        for job in jobs
    ]
    return _distinct(png)


def resolve_jobs(jobs: list[Job], usual: str, extra: tuple[str, ...] = ()) -> list[Job]:
    """Give the targets their final names, with the ``usual`` suffix where the user gave none, and ``extra`` outputs.

    Raises UsageError when an output would replace an input.
    """
    named = []
    for job in jobs:
        suffix = usual if job.suffix is None else job.suffix
        named.append(
            replace(
                job,
                target=job.target.with_name(f"{job.target.stem}{suffix}{job.target.suffix}"),
                suffix="",
                extra=extra,
            )
        )
    sources = {os.path.realpath(job.source): job.source for job in named}
    for job in named:
        for path in (job.target, job.error_map, job.heat_map, job.mask, *chain(*job.extra_paths.values())):
            replaced = sources.get(os.path.realpath(path))
            if replaced is not None:
                of = "" if replaced == job.source else f" of {job.source}"
                raise UsageError(f"{replaced}: the output{of} would replace this input; give another -o or --suffix")
    return named


def _single(source: Path, output: str | None, suffix: str | None, extension: str | None) -> Job:
    if output is None:
        return Job(source, source.with_name(_name(source, extension)), None, suffix)
    target = Path(output)
    if is_folder(output) or output.endswith("/") or not target.suffix:
        return Job(source, target / _name(source, extension), None, suffix)
    if extension is not None and _extension(target.suffix) != extension:
        raise UsageError(f"-o {output} and --format {extension[1:]} name different formats; leave one out")
    _extension(target.suffix)
    return Job(source, target, None, suffix or "")


def _root(text: str) -> Path:
    """Return the folder below which outputs keep the place of their inputs."""
    if is_folder(text):
        return Path(text)
    path = Path(text)
    if not is_pattern(text):
        return path.parent
    return next(parent for parent in path.parents if not is_pattern(os.fspath(parent)))


def _folder(text: str, output: str | None) -> Path | None:
    """Return the output folder for one input; None to write beside it."""
    if output is not None:
        return Path(output)
    if not is_folder(text):
        return None
    root = Path(os.path.realpath(text))
    if not root.name:
        raise UsageError(f"{text}: has no folder beside it for the outputs; give one with -o")
    return root.with_name(f"{root.name}_edgesr")


def _own_outputs(root: Path, folder: Path | None) -> Callable[[Path], bool]:
    """Return whether a picture lies in an output folder below the inputs, or is known there as an output."""
    if folder is None:
        return lambda source: False
    inner, outer = Path(os.path.realpath(folder)), Path(os.path.realpath(root))
    is_below = outer in inner.parents
    known = outputs_of(folder)

    def is_own(source: Path) -> bool:
        path = os.path.realpath(source)
        return path in known or (is_below and inner in Path(path).parents)

    return is_own


def _distinct(jobs: list[Job]) -> list[Job]:
    """Give pictures that would share an output, such as a.png and a.jpg, the input's suffix in their names."""
    seen = Counter(job.target for job in jobs)
    named = [
        replace(job, target=job.target.with_name(f"{job.source.stem}_{job.source.suffix[1:]}{job.target.suffix}"))
        if seen[job.target] > 1
        else job
        for job in jobs
    ]
    target, count = Counter(job.target for job in named).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{target}: {count} inputs would be written here; give them in separate runs")
    return named


def _name(source: Path, extension: str | None) -> str:
    """Return the name of the output; what follows the last dot of an unknown suffix, as in 1.2.840.10, is kept."""
    known = source.suffix.lower() in SUFFIXES
    return (source.stem if known else source.name) + (extension or _kept(source))


def _kept(source: Path) -> str:
    suffix = source.suffix.lower()
    if suffix in WRITABLE and suffix not in _TO_PNG:
        return source.suffix
    return ".dcm" if suffix not in SUFFIXES and is_dicom(source) else ".png"


def _extension(text: str | None) -> str | None:
    if text is None:
        return None
    extension = f".{text.lower().lstrip('.')}"
    if extension not in WRITABLE:
        raise UsageError(f"edgesr cannot write {text!r} files; use one of {', '.join(s[1:] for s in WRITABLE)}")
    return extension


def _can_be_folder(output: str) -> bool:
    return is_folder(output) or output.endswith("/") or Path(output).suffix.lower() not in SUFFIXES
