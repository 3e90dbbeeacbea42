"""Many pictures: what a manifest says is done is not done again, all others are worked on and kept record of."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesr.cli.jobs import Job
from edgesr.cli.manifest import Manifest
from edgesr.cli.output import result
from edgesr.cli.progress import Progress


@dataclass(frozen=True)
class Done:
    """What became of one picture."""

    record: dict[str, Any]
    lines: tuple[str, ...] = ()
    """What is printed about it."""


Work = Callable[[Iterable[Job]], Iterator[tuple[Job, Done]]]
"""Does pictures, in any order; one is taken when its work begins."""


@dataclass(frozen=True)
class Book:
    """How the manifests of a run are kept: the model's digest, and the options that make a picture another one."""

    digest: str
    options: Mapping[str, Any]
    writes: bool = True
    """Whether the run writes pictures; a manifest is of pictures."""
    names_folders: bool = True
    """Whether what is printed in the end are the folders, and of pictures without one their files."""


def work_through(
    jobs: list[Job], work: Work, book: Book, arguments: argparse.Namespace, say: Callable[[str], None] = result
) -> list[dict[str, Any]]:
    """Do all pictures that are not done, print what is to be said of each, and return their records in order."""
    folders = dict.fromkeys(job.folder for job in jobs if job.folder is not None and book.writes)
    records: dict[Job, dict[str, Any]] = {}
    with ExitStack() as stack, Progress("images", quiet=arguments.json) as progress:
        manifests: dict[Path | None, Manifest] = {
            folder: stack.enter_context(Manifest(folder, book.digest, dict(book.options))) for folder in folders
        }

        def left() -> Iterator[Job]:
            for job in jobs:
                if (manifest := manifests.get(job.folder)) is not None:
                    finished = None if arguments.restart else manifest.finished(job)
                    if finished is not None:
                        records[job] = finished
                        continue
                    manifest.begin(job)
                yield job

        for job, done in work(left()):
            records[job] = done.record
            if (manifest := manifests.get(job.folder)) is not None:
                manifest.add(job, done.record)
            for line in () if arguments.json else done.lines:
                say(line)
            if book.names_folders and job.folder is None and not arguments.json and done.record["status"] == "done":
                say(done.record["output"])
            progress.show(len(records), len(jobs))
    for folder in folders if book.names_folders and not arguments.json else ():
        say(str(folder))
    return [records[job] for job in jobs]
