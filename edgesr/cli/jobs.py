"""Which file is restored into which."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from pathlib import Path

from edgesr.errors import InputError, UsageError
from edgesr.pipelines.sources import find_pictures

# Formats that cannot hold what comes out of a network without loss are written as PNG unless asked for by name.
_TO_PNG = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".pgm", ".ppm", ".pnm", ".apng", ""))
EXTENSIONS = ("png", "tif", "tiff", "jpg", "jpeg", "webp", "bmp", "dcm")


@dataclass(frozen=True)
class Job:
    """One picture to restore."""

    source: Path
    target: Path
    folder: Path | None
    """The output folder that holds the manifest; None for single files and files beside their inputs."""
    suffix: str | None = ""
    """What ``resolve`` adds to the name of the target; None for ``_x<scale>``."""

    def resolve(self, scale: int) -> Job:
        """Return the job with its final target, now that the model's scale is known."""
        suffix = f"_x{scale}" if self.suffix is None else self.suffix
        target = self.target.with_name(f"{self.target.stem}{suffix}{self.target.suffix}")
        if target.resolve() == self.source.resolve():
            raise UsageError(f"{target}: the output would replace the input; give another -o or --suffix")
        return replace(self, target=target, suffix="")


def plan_jobs(
    inputs: list[str], *, output: str | None, suffix: str | None, extension: str | None, recursive: bool
) -> list[Job]:
    """Pair every input picture with its output; raise UsageError when the options contradict each other."""
    if suffix is not None and ("/" in suffix or "\0" in suffix):
        raise UsageError(f"--suffix {suffix!r} must not hold a slash")
    extension = _extension(extension)
    if len(inputs) == 1 and not Path(inputs[0]).is_dir() and not _is_pattern(inputs[0]):
        return [_single(Path(inputs[0]), output, suffix, extension)]
    if output is not None and Path(output).is_file():
        raise UsageError(f"-o {output}: is a file, but there are several inputs; give a folder")
    jobs = []
    for text in inputs:
        root = Path(text)
        for source in find_pictures(text, recursive=recursive):
            inside = source.relative_to(root) if root.is_dir() else Path(source.name)
            if output is not None:
                base = Path(output)
            elif root.is_dir():
                base = root.resolve().with_name(f"{root.resolve().name}_edgesr")
            else:
                base = source.parent
            folder = base if output is not None or root.is_dir() else None
            target = base / inside.with_suffix(extension or _kept(source))
            jobs.append(Job(source, target, folder, suffix))
    jobs = [job for job in jobs if job.folder is None or not _within(job.source, job.folder)] or jobs
    return _distinct(jobs)


def _single(source: Path, output: str | None, suffix: str | None, extension: str | None) -> Job:
    if output is None:
        return Job(source, source.with_suffix(extension or _kept(source)), None, suffix)
    target = Path(output)
    if target.is_dir() or output.endswith("/") or not target.suffix:
        return Job(source, target / source.with_suffix(extension or _kept(source)).name, None, suffix)
    if extension is not None and _extension(target.suffix) != extension:
        raise UsageError(f"-o {output} and --format {extension[1:]} name different formats; leave one out")
    _extension(target.suffix)
    return Job(source, target, None, suffix or "")


def _distinct(jobs: list[Job]) -> list[Job]:
    """Give pictures that would share an output, such as a.png and a.jpg, the input's suffix in their names."""
    seen: dict[Path, int] = {}
    for job in jobs:
        seen[job.target] = seen.get(job.target, 0) + 1
    named = [
        replace(job, target=job.target.with_name(f"{job.source.stem}_{job.source.suffix[1:]}{job.target.suffix}"))
        if seen[job.target] > 1
        else job
        for job in jobs
    ]
    targets = [job.target for job in named]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: several inputs would be written here; give them in separate runs")
    return named


def _kept(source: Path) -> str:
    suffix = source.suffix.lower()
    return ".png" if suffix in _TO_PNG or suffix[1:] not in EXTENSIONS else source.suffix


def _extension(text: str | None) -> str | None:
    if text is None:
        return None
    extension = text.lower().lstrip(".")
    if extension not in EXTENSIONS:
        raise UsageError(f"edgesr cannot write {text!r} files; use one of {', '.join(EXTENSIONS)}")
    return f".{extension}"


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not Path(text).exists()


def _within(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents
