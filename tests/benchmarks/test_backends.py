"""The comparison of runtimes goes on where it was stopped."""

import argparse
import json

import pytest

from benchmarks.backends import add_arguments, command
from benchmarks.backends.networks import NETWORKS
from benchmarks.backends.sides import AUTO, EAGER, Sides
from benchmarks.timing import alternate


@pytest.fixture
def measured(monkeypatch, tmp_path):
    opened = []

    def open_network(name, side, threads, folder):
        if name == NETWORKS[-1]:
            raise ImportError("no torch here")
        opened.append(name)
        return type("Network", (), {"name": name, "size": "1 x 1"})()

    sides = Sides({name: lambda: None for name in (EAGER, AUTO)}, {EAGER: 0.0, AUTO: 0.0})
    monkeypatch.setattr(command, "open_network", open_network)
    monkeypatch.setattr(command, "open_sides", lambda *rest, **options: sides)

    def run(*words):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        opened.clear()
        command.run(parser.parse_args([*words, "--rounds", "2", "--out", str(tmp_path)]))
        (file,) = tmp_path.glob("backends-*.json")
        return list(opened), json.loads(file.read_text())

    return run


def test_only_what_the_file_lacks_is_measured(measured, capsys):
    assert measured("--network", NETWORKS[1])[0] == [NETWORKS[1]]
    opened, document = measured("--resume")
    assert opened == [name for name in NETWORKS[:-1] if name != NETWORKS[1]]
    assert [it["network"] for it in document["comparisons"]] == list(NETWORKS[:-1])
    assert document["left_out"] == {NETWORKS[-1]: "no torch here"}
    assert measured("--resume")[0] == []
    assert f"| {NETWORKS[0]} | 1 x 1 | 2 |" in capsys.readouterr().out


def test_another_number_of_threads_is_no_continuation(measured):
    measured("--network", NETWORKS[0], "--threads", "1")
    with pytest.raises(SystemExit, match="threads"):
        measured("--resume", "--threads", "2")


def test_an_unknown_network_is_named(measured):
    with pytest.raises(SystemExit, match="there is no network 'x'"):
        measured("--network", "x")


def test_a_budget_of_seconds_leaves_five_rounds():
    samples = alternate({"a": lambda: None}, 50, pause=0.01, seconds=0.0)
    assert len(samples["a"]) == 5
