"""Machines recorded as files: what they say about themselves must be understood, and nonsense must not hurt."""

from __future__ import annotations

import os

import pytest

from edgesr.device import (
    JETPACKS,
    SOCS,
    available_memory,
    find_jetson,
    jetpack_of,
    parse_l4t,
    this_machine,
    usable_cores,
)
from tests.boards import BOARDS, record, write

GIB = 1 << 30


@pytest.mark.parametrize(
    ("name", "l4t", "jetpack", "soc"),
    [
        ("orin-nano", (36, 4, 3), "6.1-6.2.2", "tegra234"),
        ("orin-nx", (36, 5, 0), "6.1-6.2.2", "tegra234"),
        ("agx-orin", (36, 4, 7), "6.1-6.2.2", "tegra234"),
        ("thor", (38, 2, 0), "7.0-7.1", "tegra264"),
    ],
)
def test_a_jetson_knows_its_jetpack(tmp_path, name, l4t, jetpack, soc):
    machine = this_machine(record(tmp_path, name))
    assert machine.jetson is not None and machine.jetson.jetpack is not None
    assert (machine.jetson.l4t, machine.jetson.jetpack.version, machine.jetson.soc) == (l4t, jetpack, soc)
    assert machine.jetson.model == BOARDS[name].model
    cpu = "Neoverse-V3AE" if name == "thor" else "Cortex-A78AE"
    assert (machine.cpu, machine.vendor, machine.gpu) == (cpu, "arm", "integrated GPU")
    assert machine.memory_total == BOARDS[name].total * 1024
    assert machine.memory_available == BOARDS[name].available * 1024


@pytest.mark.parametrize(
    ("name", "module", "capability", "dla"),
    [
        ("orin-nano", "Orin Nano 8GB (developer kit)", (8, 7), 0),
        ("orin-nx", "Orin NX 16GB", (8, 7), 2),
        ("agx-orin", "AGX Orin 64GB", (8, 7), 2),
        ("thor", "AGX Thor T5000", (11, 0), 0),
    ],
)
def test_a_jetson_knows_its_module_its_gpu_and_the_dla_it_can_use(tmp_path, name, module, capability, dla):
    jetson = find_jetson(record(tmp_path, name))
    assert jetson is not None and jetson.module is not None
    assert (jetson.module.name, jetson.compute_capability, jetson.usable_dla_cores) == (module, capability, dla)


def test_an_orin_with_jetpack_7_has_no_dla_that_tensorrt_builds_for(tmp_path):
    root = record(tmp_path, "agx-orin")
    write(root, {"etc/nv_tegra_release": "# R39 (release), REVISION: 2.0, GCID: 45755727, BOARD: generic\n"})
    jetson = find_jetson(root)
    assert jetson is not None and jetson.jetpack is not None
    assert (jetson.jetpack.version, jetson.usable_dla_cores) == ("7.2", 0)


def test_an_unknown_module_is_not_guessed(tmp_path):
    root = record(tmp_path, "orin-nano")
    (root / "proc/device-tree/compatible").write_bytes(b"vendor,box\0nvidia,p9999-0001\0nvidia,tegra234\0")
    jetson = find_jetson(root)
    assert jetson is not None
    assert (jetson.module, jetson.usable_dla_cores, jetson.compute_capability) == (None, None, (8, 7))


def test_every_release_runs_on_chips_that_are_known():
    assert all(set(line.dla) <= set(line.socs) <= set(SOCS) for line in JETPACKS)


def test_a_desktop_is_no_jetson(tmp_path):
    machine = this_machine(record(tmp_path, "desktop"))
    assert machine.jetson is None
    assert (machine.cpu, machine.vendor, machine.gpu) == ("Intel(R) Core(TM) i7", "intel", "NVIDIA GeForce RTX 4090")


def test_a_container_on_a_jetson_has_no_release_file(tmp_path):
    root = record(tmp_path, "orin-nano")
    (root / "etc/nv_tegra_release").unlink()
    jetson = find_jetson(root)
    assert jetson is not None
    assert (jetson.l4t, jetson.jetpack, jetson.soc) == (None, None, "tegra234")


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ((32, 7, 6), None),
        ((35, 1, 0), None),
        ((35, 2, 1), "5.1"),
        ((35, 6, 5), "5.1"),
        ((36, 3, 0), "6.0"),
        ((36, 4, 0), "6.1-6.2.2"),
        ((36, 5, 0), "6.1-6.2.2"),
        ((37, 0, 0), None),
        ((38, 4, 0), "7.0-7.1"),
        ((40, 0, 0), None),
    ],
)
def test_releases_between_the_lines_belong_to_the_older_one_of_their_major(release, version):
    pack = jetpack_of(release)
    assert (pack.version if pack else None) == version


def test_the_table_is_in_order():
    assert list(JETPACKS) == sorted(JETPACKS, key=lambda line: line.l4t)


@pytest.mark.parametrize(
    "text", ["", "R36", "# R36 (release)", "REVISION: 4.3", "# Rxx (release), REVISION: 4", "\ufffd" * 9]
)
def test_a_malformed_release_is_no_release(text):
    assert parse_l4t(text) is None


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", b"\xff\xfe\x00junk", b"a" * 200_000, b"MemAvailable: many kB\n" * 3]
)
def test_malformed_files_do_no_harm(tmp_path, content):
    names = (
        "etc/nv_tegra_release",
        "proc/device-tree/model",
        "proc/device-tree/compatible",
        "proc/cpuinfo",
        "proc/meminfo",
    )
    names += ("proc/self/cgroup", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/cpu.max")
    names += ("proc/driver/nvidia/gpus/0/information",)
    machine = this_machine(write(tmp_path, dict.fromkeys(names, content)))
    assert machine.cores >= 1
    assert machine.jetson is None
    assert machine.cpu


def test_folders_in_the_place_of_files_do_no_harm(tmp_path):
    (tmp_path / "proc/meminfo").mkdir(parents=True)
    (tmp_path / "etc/nv_tegra_release").mkdir(parents=True)
    assert this_machine(tmp_path).memory_available > 1 << 50


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max", "memory.current": str(GIB)}, 8 * GIB),
        ({"memory.max": str(4 * GIB), "memory.current": str(GIB)}, 3 * GIB),
        (
            {
                "memory.max": str(4 * GIB),
                "memory.current": str(3 * GIB),
                "memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
            },
            3 * GIB,
        ),
        ({"memory.max": str(GIB), "memory.current": str(2 * GIB)}, 0),
        ({"memory/memory.limit_in_bytes": str(2 * GIB), "memory/memory.usage_in_bytes": str(GIB)}, GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "5"}, 8 * GIB),
    ],
)
def test_a_container_gets_what_its_limit_leaves(tmp_path, files, free):
    write(tmp_path, {"proc/meminfo": f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n"})
    write(tmp_path, {f"sys/fs/cgroup/{name}": text + "\n" for name, text in files.items()})
    assert available_memory(tmp_path) == free


def test_the_tightest_of_nested_groups_counts(tmp_path):
    group = "sys/fs/cgroup/user.slice/job.scope"
    root = write(
        tmp_path,
        {
            "proc/meminfo": f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n",
            "proc/self/cgroup": "0::/user.slice/job.scope\n",
            f"{group}/memory.max": "max\n",
            f"{group}/memory.current": "77\n",
            "sys/fs/cgroup/user.slice/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/user.slice/memory.current": f"{GIB}\n",
        },
    )
    assert available_memory(root) == GIB
    assert this_machine(root).memory_total == 2 * GIB


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "0 0"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_a_quota_limits_the_cores(tmp_path, files, cores):
    root = write(tmp_path, {f"sys/fs/cgroup/{name}": text + "\n" for name, text in files.items()})
    assert usable_cores(root) == (cores or len(os.sched_getaffinity(0)))


def test_this_machine_can_be_looked_at():
    machine = this_machine()
    assert machine.cores >= 1
    assert 0 < machine.memory_available <= machine.memory_total
