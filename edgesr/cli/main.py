"""Commands, options and exit codes of ``edgesr``."""

from __future__ import annotations

import argparse
import errno
import importlib
import signal
import sys
import warnings
from typing import Any

from edgesr import __version__
from edgesr.cli.bench_options import add_bench
from edgesr.cli.build_options import add_build
from edgesr.cli.output import discard, flush, note
from edgesr.cli.pack_options import add_pack
from edgesr.cli.parser import Parser, filled, pair, whole
from edgesr.cli.ray_options import settle_ray
from edgesr.cli.run_options import add_run
from edgesr.cli.signals import Interruption
from edgesr.cli.tune_options import add_tune
from edgesr.errors import BackendError, EdgesrError

EXIT_CODES = """exit codes:
  0 ok   1 bug   2 usage   3 environment or model   4 build   5 accuracy gate   6 inputs failed
  7 benchmark invalid   130 interrupted"""

# The module of edgesr.cli that runs each command; imported when the command is given, so that --help stays fast.
_COMMANDS = {
    "run": "run",
    "inspect": "inspect",
    "models": "models",
    "pack": "pack",
    "build": "build",
    "tune": "tune",
    "bench": "bench",
    "cache": "cache",
    "doctor": "doctor",
    "report": "report",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    with Interruption() as interruption:
        try:
            return _run(words)
        except KeyboardInterrupt:
            note(interruption.text)
            return interruption.exit_code
        except BrokenPipeError:
            discard()
            return 128 + signal.SIGPIPE
        except Exception as error:
            if interruption.number is not None:
                note(interruption.text)
                return interruption.exit_code
            if "--debug" in words:
                import traceback

                traceback.print_exc()
            return _report(error)


def _run(words: list[str]) -> int:
    with warnings.catch_warnings():
        if "--debug" not in words and not sys.warnoptions:
            # Libraries warn about damaged files in their own words; a user gets one line from us instead.
            warnings.simplefilter("ignore")
        try:
            arguments = build_parser().parse(settle_ray(words))
            module = importlib.import_module(f"edgesr.cli.{_COMMANDS[arguments.command]}")
            code: int = module.execute(arguments)
        except SystemExit as end:  # argparse leaves so after --help and --version
            code = int(end.code or 0)
    flush()
    return code


def _report(error: Exception) -> int:
    if isinstance(error, EdgesrError):
        note(str(error) or type(error).__name__)
        return error.exit_code
    if isinstance(error, MemoryError):
        note("there is not enough memory; close other programs, or use smaller pictures or a smaller --tile")
        return BackendError.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f"{error.filename}: " if error.filename else ""
        note(f"{where}no space left on the disk; free some, or set TMPDIR to a folder that has more")
        return BackendError.exit_code
    note(f"internal error, please report it: {type(error).__name__}: {error} (--debug shows where)")
    return EdgesrError.exit_code


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="edgesr",
        description="Trained image networks on Jetson, NVIDIA GPUs and any CPU.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgesr {__version__}")
    commands: Any = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    network = Parser(add_help=False)
    group = network.add_argument_group("bare ONNX files (packages say this themselves)")
    group.add_argument("--range", type=pair, metavar="LOW,HIGH", help="values the network takes, e.g. 0,255")
    group.add_argument("--layout", choices=("NCHW", "NHWC"), help="order of the network's dimensions")
    group.add_argument("--channel-order", choices=("grey", "y", "rgb", "bgr"), help="what its channels hold")
    group.add_argument("--scale", type=whole(1, 64), metavar="N", help="how many times it enlarges")
    add_run(commands, [common, network])
    _add_inspect(commands, [common, network])
    _add_models(commands, [common])
    add_pack(commands, [common, network])
    add_build(commands, [common, network])
    add_tune(commands, [common, network])
    add_bench(commands, [common, network])
    _add_cache(commands, [common])
    commands.add_parser("doctor", parents=[common], help="check this machine", description="Check this machine.")
    _add_report(commands, [common])
    return parser


def _add_inspect(commands: Any, parents: list[Parser]) -> None:
    inspect = commands.add_parser(
        "inspect",
        parents=parents,
        help="say what is in a model or engine, or what made a picture",
        description="Say what is in a package, ONNX file or TensorRT engine, or which model made a picture.",
    )
    inspect.add_argument("model", type=filled, metavar="MODEL", help="name, package, .onnx or .engine file, or picture")


def _add_models(commands: Any, parents: list[Parser]) -> None:
    models = commands.add_parser(
        "models", parents=parents, help="list, add or remove models", description="List, add or remove models."
    )
    models.add_argument("action", nargs="?", choices=("list", "add", "remove"), default="list")
    models.add_argument(
        "target", nargs="?", type=filled, metavar="FILE|NAME", help="package to add, or model to remove"
    )
    models.add_argument("--force", action="store_true", help="replace an installed model of the same name")


def _add_cache(commands: Any, parents: list[Parser]) -> None:
    cache = commands.add_parser(
        "cache",
        parents=parents,
        help="list or delete built engines and measured choices",
        description="List or delete the TensorRT engines that were built on this machine, and what `--device auto` "
        "measured on its CPU.",
    )
    cache.add_argument("action", nargs="?", choices=("list", "clear"), default="list")


def _add_report(commands: Any, parents: list[Parser]) -> None:
    report = commands.add_parser(
        "report",
        parents=parents,
        help="make one file for a bug report",
        description="Write what a maintainer needs to know about this machine into one file, without names of people, "
        "computers, pictures and addresses.",
    )
    report.add_argument("-o", "--output", type=filled, metavar="FILE", help="default: edgesr-report.json")
    report.add_argument("--log", type=filled, metavar="FILE", help="add the end of what the failing command printed")
