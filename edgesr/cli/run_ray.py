"""``edgesr run --ray``: many pictures over the machines of a Ray cluster, with the manifest of a folder run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from edgesr.cli.jobs import Job, drawn_jobs, plan_jobs, resolve_jobs
from edgesr.cli.many import Book, work_through
from edgesr.cli.output import note, result, result_json
from edgesr.cli.ray_cluster import Cluster
from edgesr.cli.ray_options import check_ray_options
from edgesr.cli.ray_parcel import make_parcel
from edgesr.cli.ray_pool import RayPool
from edgesr.cli.ray_worker import About, Errand
from edgesr.cli.run import exit_code, misfits, summarise
from edgesr.cli.run_labels import SUFFIXES
from edgesr.errors import BackendError, InputError
from edgesr.image.output import remove_leftovers
from edgesr.model import DEFAULT_MODEL
from edgesr.pipelines.place import chained


def execute_ray(arguments: argparse.Namespace) -> int:
    """Do every input; return 0, or 6 when some failed, 5 when all that failed missed an accuracy gate."""
    check_ray_options(arguments)
    jobs = plan_jobs(
        arguments.input,
        output=arguments.output,
        suffix=arguments.suffix,
        extension=arguments.format,
        recursive=arguments.recursive,
    )
    model = arguments.model or os.environ.get("EDGESR_MODEL") or DEFAULT_MODEL
    parcels = [make_parcel(name) for name in chained(model) or (model,)]
    threads = arguments.threads or 1
    cpus = max(len(os.sched_getaffinity(0)), threads * (arguments.actors or 1))
    store_bytes = sum(len(content) for _, contents in parcels for content in contents.values())
    start = perf_counter()
    cluster = Cluster(arguments.ray, cpus=cpus, store_bytes=store_bytes, debug=arguments.debug)
    try:
        gpus = _gpus(cluster, arguments)
        size = min(len(jobs), arguments.actors or _usual_size(cluster, threads, gpus))
        errand = Errand(arguments, tuple(parcel for parcel, _ in parcels), _folder(jobs), threads, gpus > 0)
        contents = tuple(files for _, files in parcels)
        with RayPool(cluster, errand, contents, size=size, gpus=gpus, note=note) as pool:
            about = pool.about()
            if about.suffix in SUFFIXES.values():
                jobs = drawn_jobs(jobs, output=arguments.output, extension=arguments.format)
            records = _run(resolve_jobs(jobs, about.suffix, about.extra), cluster, pool, arguments)
            facts = _facts(pool, size, gpus, records, perf_counter() - start)
    finally:
        cluster.close()
    _report(records, about, facts, arguments)
    return exit_code(records)


def _gpus(cluster: Cluster, arguments: argparse.Namespace) -> float:
    has_gpus = cluster.total("GPU") > 0
    if arguments.device in ("cpu", "openvino"):
        return 0.0
    if not has_gpus and (arguments.device != "auto" or arguments.gpus_per_actor):
        asked = f"--device {arguments.device}" if arguments.device != "auto" else "--gpus-per-actor"
        raise BackendError(f"{asked}: no machine of the Ray cluster has a GPU; leave it out to use CPUs")
    usual = 1.0 if has_gpus else 0.0
    return usual if arguments.gpus_per_actor is None else float(arguments.gpus_per_actor)


def _usual_size(cluster: Cluster, threads: int, gpus: float) -> int:
    by_cpu = cluster.total("CPU") // threads
    return max(1, int(min(by_cpu, cluster.total("GPU") // gpus) if gpus else by_cpu))


def _folder(jobs: list[Job]) -> str | None:
    """Return the folder that relative paths start from, None where there are none."""
    paths = [path for job in jobs for path in (job.source, job.target)]
    return None if all(path.is_absolute() for path in paths) else str(Path.cwd())


def _run(jobs: list[Job], cluster: Cluster, pool: RayPool, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the manifests do not say is done, and return a record for every picture in the order of ``jobs``."""
    about = pool.about()
    writes = not about.is_labelling or about.meta.get("task") != "classify" or arguments.output is not None
    if writes:
        _prepare_folders({job.target.parent for job in jobs})

    def say(line: str) -> None:
        with cluster.speaking():
            result(line)

    book = Book(about.digest, about.options, writes, names_folders=not about.is_labelling)
    records = work_through(jobs, pool.map, book, arguments, say)
    for folder in {job.target.parent for job in jobs} if pool.deaths and writes else ():
        remove_leftovers(folder)
    return records


def _prepare_folders(folders: set[Path]) -> None:
    """Make the folders of the outputs here, so that a worker that does not see them knows that nothing is shared."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot make this folder: {error.strerror}; choose another -o") from None
        remove_leftovers(folder)


def _facts(pool: RayPool, size: int, gpus: float, records: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    worked = sum(record["status"] != "skipped" for record in records)
    return {
        "actors": size,
        "gpus_per_actor": gpus,
        "hosts": sorted({about.host for about in pool.abouts}),
        "devices": sorted({str(about.meta.get("device")) for about in pool.abouts}),
        "workers_died": pool.deaths,
        "seconds": round(seconds, 3),
        "images_per_second": round(worked / seconds, 3),
    }


def _report(
    records: list[dict[str, Any]], about: About, facts: Mapping[str, Any], arguments: argparse.Namespace
) -> None:
    if arguments.json:
        failed = sum(record["status"] == "failed" for record in records)
        names = {"names": list(about.names)} if about.is_labelling else {}
        result_json(
            {"results": records, "load_ms": about.load_ms, **about.meta, **names, "failed": failed, "ray": facts}
        )
    for text in (*about.notes, *(() if about.is_labelling else misfits(records))):
        note(text)
    if len(facts["devices"]) > 1:
        note(
            f"the workers ran on {' and '.join(facts['devices'])}, which may round differently; name one with --device"
        )
    died = f", {_counted(facts['workers_died'], 'worker')} died, another took over" if facts["workers_died"] else ""
    places = f"{_counted(facts['actors'], 'worker')} on {_counted(len(facts['hosts']), 'machine')}"
    note(f"{places}, {facts['seconds']:.1f} s with start-up, {facts['images_per_second']:.2f} images/s{died}")
    summarise(records, "labelled" if about.is_labelling else "restored")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
