"""``edgesr bench SWEEP.toml``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgesr.cli import main
from tests.pipelines.test_tensorrt import make_package

TOP = 'duration = "50ms"\ncount = 4\nwarmup = "50ms"\nmax-cv = 1000\ndevice = "cpu"\n'


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setattr("edgesr.bench.session.find_faults", lambda samples, pictures, limits: [])

    def execute(*words):
        code = main(["bench", *map(str, words)])
        return code, *capsys.readouterr()

    return execute


@pytest.fixture
def sweep(tmp_path: Path):
    package = make_package(tmp_path)

    def write(text: str) -> Path:
        path = tmp_path / "sweep.toml"
        path.write_text(TOP + text.replace("MODEL", package.name))
        return path

    return write


def test_a_sweep_measures_every_setting_and_writes_what_it_asks_for(run, sweep, tmp_path):
    path = sweep(
        'models = "MODEL"\ntile = [32, 64]\noutput = "o.json"\nhtml = "o.html"\nmarkdown = "o.md"\nbudget = "1h"\n'
    )
    code, _, err = run(path)
    assert (code, "1h" in err) == (2, True)
    path = sweep(
        'models = "MODEL"\ntile = [32, 64]\noutput = "o.json"\nhtml = "o.html"\nmarkdown = "o.md"\nbudget = "9s"\n'
    )
    code, out, _ = run(path)
    assert code == 0
    assert "recommended: " in out
    document = json.loads((tmp_path / "o.json").read_text())
    assert [row["tile"] for row in document["rows"]] == [32, 64]
    assert document["settings"]["duration_s"] == 0.05
    assert "tile 32" in (tmp_path / "o.md").read_text()
    assert (tmp_path / "o.html").read_text().count('class="slider"') == 2


def test_a_sweep_that_was_interrupted_goes_on_where_it_stopped(run, sweep, tmp_path):
    output = tmp_path / "o.json"
    run(sweep('models = "MODEL"\ntile = [32]\n'), "-o", output)
    before = json.loads(output.read_text())["rows"][0]
    code, _, err = run(sweep('models = "MODEL"\ntile = [32, 64]\n'), "-o", output, "--resume")
    assert code == 0
    assert "1 of 2 rows are taken from" in err
    after = json.loads(output.read_text())["rows"]
    assert after[0] == before
    assert after[1]["tile"] == 64


def test_the_command_line_has_the_last_word_on_options(run, sweep, tmp_path):
    path = sweep('models = "MODEL"\noutput = "o.json"\n')
    assert run(path, "--count", "6", "-o", tmp_path / "mine.json")[0] == 0
    document = json.loads((tmp_path / "mine.json").read_text())
    assert document["settings"]["least_count"] == 6
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ('models = "MODEL"', ["cxr-x4"], "a sweep stands alone"),
        ('models = "MODEL"', ["--tile", "8"], "--tile is the file's to say"),
        ('models = "MODEL"\nlimit = "many"', [], "sweep.toml: argument --limit"),
        ('models = "MODEL"\ntiles = 3', [], "no setting 'tiles'"),
        ("models = [", [], "is no TOML file"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(run, sweep, text, words, message):
    code, out, err = run(sweep(text), *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
