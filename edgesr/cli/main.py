"""Commands, options and exit codes of ``edgesr``."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import warnings
from typing import Any

from edgesr import __version__
from edgesr.cli.build_options import add_build
from edgesr.cli.output import discard, flush, note
from edgesr.cli.parser import Parser, filled, pair, whole
from edgesr.cli.signals import Interruption
from edgesr.errors import BackendError, EdgesrError

EXIT_CODES = """exit codes:
  0 ok   1 bug   2 usage   3 environment or model   4 build   5 accuracy gate   6 inputs failed   130 interrupted"""

# The module of edgesr.cli that runs each command; imported when the command is given, so that --help stays fast.
_COMMANDS = {
    "run": "run",
    "inspect": "inspect",
    "models": "models",
    "pack": "pack",
    "build": "build",
    "cache": "cache",
    "doctor": "doctor",
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
            arguments = build_parser().parse(words)
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
    _add_run(commands, [common, network])
    _add_inspect(commands, [common, network])
    _add_models(commands, [common])
    _add_pack(commands, [common, network])
    add_build(commands, [common, network])
    _add_cache(commands, [common])
    commands.add_parser("doctor", parents=[common], help="check this machine", description="Check this machine.")
    return parser


def _add_run(commands: Any, parents: list[Parser]) -> None:
    run = commands.add_parser(
        "run",
        parents=parents,
        help="restore pictures, folders or globs",
        description="Restore or enlarge pictures. Folders keep a manifest and resume where they stopped.",
    )
    run.add_argument("input", nargs="+", type=filled, metavar="INPUT", help="picture, folder or quoted glob pattern")
    run.add_argument(
        "-m",
        "--model",
        type=filled,
        metavar="MODEL",
        help="name, package or .onnx file (default: cxr-x4, or $EDGESR_MODEL)",
    )
    run.add_argument("-o", "--output", type=filled, metavar="PATH", help="file, or folder (default: beside the input)")
    run.add_argument("--suffix", metavar="TEXT", help="added to the name of each output (default: _x<scale>)")
    run.add_argument(
        "--format", metavar="EXT", help="png, tif, jpg, webp, bmp or dcm (default: the input's; png for jpg, gif)"
    )
    run.add_argument(
        "--quality", type=whole(1, 100), default=95, metavar="N", help="of JPEG and WebP, 1 to 100 (default: 95)"
    )
    run.add_argument("-r", "--recursive", action="store_true", help="take pictures in subfolders too")
    run.add_argument("--restart", action="store_true", help="do a folder again, also what its manifest says is done")
    run.add_argument("--tile", type=whole(1), metavar="PIXELS", help="tile side in input pixels (default: automatic)")
    run.add_argument("--tta", action="store_true", help="average over flips and rotations: 8 times the work")
    run.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    run.add_argument("--threads", type=whole(1, 1024), metavar="N", help="CPU threads (default: all usable cores)")
    run.add_argument("--provider", action="append", metavar="NAME", help="ONNX Runtime execution provider; repeatable")
    run.add_argument(
        "--max-pixels", type=whole(1), default=1 << 28, metavar="N", help="refuse larger inputs (default: 268435456)"
    )
    group = run.add_argument_group("controls (of models that have them; see `edgesr inspect MODEL`)")
    group.add_argument("--fidelity", type=float, metavar="0..1", help="1 = truest (highest PSNR), 0 = sharpest")
    group.add_argument(
        "--degradation", metavar="NAME", help="how the input was made small: auto, cubic, area, antialiased"
    )
    group.add_argument(
        "--consistency", type=float, metavar="0..1", help="how strictly the result must agree with the input"
    )
    group.add_argument("--uncertainty", action="store_true", help="write the predicted error bound beside each result")


def _add_inspect(commands: Any, parents: list[Parser]) -> None:
    inspect = commands.add_parser(
        "inspect",
        parents=parents,
        help="say what is in a model or engine",
        description="Say what is in a package, ONNX file or TensorRT engine.",
    )
    inspect.add_argument("model", type=filled, metavar="MODEL", help="name, package, .onnx file or .engine file")


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
        help="list or delete built engines",
        description="List or delete the TensorRT engines that were built on this machine.",
    )
    cache.add_argument("action", nargs="?", choices=("list", "clear"), default="list")


def _add_pack(commands: Any, parents: list[Parser]) -> None:
    pack = commands.add_parser(
        "pack",
        parents=parents,
        help="make a model package from an ONNX file",
        description="Make a model package from an ONNX file and what you know about it.",
    )
    pack.add_argument("onnx", type=filled, metavar="ONNX", help="the network")
    pack.add_argument(
        "-o", "--output", required=True, type=filled, metavar="NAME.edgesr", help="package file, or folder"
    )
    pack.add_argument("--name", metavar="NAME", help="model name (default: from the output)")
    pack.add_argument("--model-version", metavar="X.Y.Z", help="version of the model (default: 1.0.0)")
    pack.add_argument("--descriptor", metavar="FILE", help="JSON with further fields of model.json, e.g. licence")
