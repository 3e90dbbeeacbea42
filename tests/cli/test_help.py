"""Help, version, mistyped words, and what starting costs."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import edgesr
from tests.cli.commands import environment, run
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture

COMMANDS = ("run", "inspect", "models", "pack", "bench", "doctor", "report")


def test_help_and_version_are_results(call: Call) -> None:
    answer = call("--help")
    assert (answer.code, answer.err) == (0, "")
    assert all(f"    {command}" in answer.out for command in COMMANDS)
    assert "exit codes:" in answer.out
    assert call("--version").out == f"edgesr {edgesr.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(call: Call, command: str) -> None:
    answer = call(command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"usage: edgesr {command}")
    assert "--json" in answer.out


def test_help_takes_little_time_and_loads_nothing_heavy() -> None:
    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    spent = []
    for _ in range(3):
        before = cpu()
        run("--help")
        spent.append(cpu() - before)
    assert min(spent) < 0.15


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], ["nonsense"]])
def test_help_and_usage_errors_import_no_library(words: list[str]) -> None:
    assert loaded(words) & {"numpy", "onnxruntime", "onnx", "PIL", "tqdm", "torch", "json", "logging"} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_imports_torch(models: Models, tmp_path: Path, command: str) -> None:
    picture(tmp_path / "a.png")
    words = {
        "run": ["run", str(tmp_path / "a.png"), "-m", str(models.onnx), "--json"],
        "inspect": ["inspect", str(models.onnx)],
        "pack": ["pack", str(models.onnx), "-o", str(tmp_path / "a.edgesr")],
        "report": ["report", "-o", str(tmp_path / "report.json")],
    }.get(command, [command])
    assert loaded(words) & {"torch", "torchvision", "tensorflow", "scipy", "matplotlib"} == set()


def loaded(words: list[str]) -> set[str]:
    """Return the top-level modules that a child has loaded after one command."""
    script = "import sys, edgesr.cli; edgesr.cli.main(); sys.stderr.write('\\n' + ' '.join(sys.modules))"
    child = subprocess.run(
        [sys.executable, "-c", script, *words],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )
    return {name.partition(".")[0] for name in child.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["rn", "a.png"], "did you mean run?"),
        (["modles"], "did you mean models?"),
        (["--hlep"], "did you mean --help?"),
        (["--jsn", "models"], "did you mean --json?"),
        (["run", "a.png", "--modle", "x"], "did you mean --model?"),
        (["run", "--modle=x"], "did you mean --model?"),
        (["run", "a.png", "--til", "64"], "did you mean --tile?"),
        (["run", "a.png", "--layout", "NCWH"], "did you mean NCHW?"),
        (["models", "ad", "x"], "did you mean add?"),
        (["pack", "a.onnx", "-o", "b", "--model-versoin", "1"], "--model-version"),
        (["--json", "models"], "give it after the command"),
        ([], "COMMAND"),
        (["run"], "INPUT"),
        (["run", "a.png", "-x"], "-x"),
        (["models", "list", "x"], "takes no argument"),
        (["models", "add"], "models add FILE"),
        (["models", "remove"], "models remove NAME"),
        (["doctor", "x"], "argument: x"),
        (["run", ""], "empty"),
        (["run", "a\0.png"], "is no name"),
        (["run", "a.png", "-o", ""], "empty"),
        (["run", "a.png", "-m", ""], "empty"),
        (["inspect", ""], "empty"),
        (["run", "a.png", "--format", "gif"], "png"),
        (["run", "a.png", "-o", "b.mp4"], "png"),
        (["run", "a.png", "-o", "b.png", "--format", "jpg"], "different formats"),
        (["run", "a.png", "--suffix", "a/b"], "slash"),
        (["run", "a.png", "--range", "1"], "LOW,HIGH"),
        (["run", "a.png", "--range", "a,b"], "LOW,HIGH"),
    ],
)
def test_wrong_words_are_one_line_with_what_was_meant(call: Call, words: list[str], meant: str) -> None:
    answer = call(*words)
    assert (answer.code, answer.out, meant in answer.error) == (2, "", True), answer.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--quality", value) for value in ("0", "101", "-1", "x", "1e2", "٣")],
        *[("--tile", value) for value in ("0", "-5", "1.5", "", "9" * 30, "NaN")],
        *[("--threads", value) for value in ("0", "1025", "99999999999", "two")],
        *[("--max-pixels", value) for value in ("0", "-1", "many")],
        *[("--scale", value) for value in ("0", "65", "x")],
        *[("--fidelity", value) for value in ("x", "")],
    ],
)
def test_numbers_out_of_range_name_the_option(call: Call, option: str, value: str) -> None:
    answer = call("run", "a.png", option, value)
    assert (answer.code, option in answer.error) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--device", "cuda"], 3, "onnxruntime-gpu"),
        (["--device", "cuda:7"], 3, "onnxruntime-gpu"),
        (["--device", "tpu"], 2, "unknown device 'tpu'"),
        (["--device", "cuda:x"], 3, "cuda:N"),
        (["--device", ""], 2, "unknown device ''"),
        (["--provider", "NoExecutionProvider"], 3, "NoExecutionProvider"),
        (["--tile", "1"], 2, "tile must be at least"),
        (["--fidelity", "0.5"], 2, "no control 'fidelity'"),
        (["--degradation", "cubic"], 2, "no control 'degradation'"),
        (["--range", "0,255"], 2, "bare .onnx"),
        (["--scale", "2"], 2, "bare .onnx"),
        (["-m", "cxr-x5"], 3, "no such model"),
        (["-m", "none.onnx"], 3, "no such file"),
        (["-m", "/dev/null"], 3, "/dev/null"),
        (["-m", "/"], 3, "package"),
        (["-m", "a" * 300], 3, "aaa"),
        (["-m", "a.png"], 3, "a.png"),
    ],
)
def test_models_and_devices_that_are_not_there_are_one_line(
    call: Call,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    answer = call("run", "a.png", "-m", models.package, *options)
    if "cuda" in options and answer.code == 0:
        pytest.skip("this machine has a GPU")
    assert (answer.code, answer.out, reason in answer.error) == (code, "", True), answer.err
    assert len(answer.error) < 600


def test_more_threads_than_cores_are_not_started(call: Call, models: Models, tmp_path: Path) -> None:
    assert call("run", picture(tmp_path / "a.png"), "-m", models.package, "--threads", "1024").code == 0


def test_debug_shows_the_traceback_and_keeps_the_exit_code(call: Call, models: Models, tmp_path: Path) -> None:
    for words, code in (
        (["run", tmp_path / "none.png", "-m", models.package], 6),
        (["run", "a.png", "--device", "tpu", "-m", models.package], 2),
        (["run", "a.png", "-m", "none.onnx"], 3),
    ):
        answer = call(*words, "--debug")
        assert answer.code == code
        assert answer.err.startswith("Traceback")
        assert answer.err.splitlines()[-1] == f"edgesr: {call(*words).error}"


def test_control_characters_of_names_do_not_reach_the_terminal(call: Call, models: Models, tmp_path: Path) -> None:
    for name in ("a\nedgesr: b.png", "\x1b[2J.png", "\u202egnp.exe.png", "a\rb.png"):
        answer = call("run", tmp_path / name, "-m", models.package)
        assert answer.code == 6
        assert answer.error.isprintable()
        assert call("run", f"{name}*", "-m", name).error.isprintable()


def test_a_full_disk_for_temporary_files_is_no_bug(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "folder/plan")

    monkeypatch.setattr("edgesr.cli.models.execute", full)
    answer = call("models")
    assert answer.code == 3
    assert answer.err == (
        "edgesr: folder/plan: no space left on the disk; free some, or set TMPDIR to a folder that has more\n"
    )
