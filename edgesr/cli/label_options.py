"""Options of ``run`` and ``pack`` for networks that label pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgesr.cli.parser import Parser, filled, number, whole
from edgesr.errors import UsageError

_RULES = ("short-side", "exact", "fit", "letterbox")
_MAX_BYTES = 1 << 24


def add_run_options(run: Parser) -> None:
    """Add the thresholds of ``edgesr run``."""
    group = run.add_argument_group("labels (of models with task classify, segment or detect; defaults: the model's)")
    group.add_argument("--top-k", type=whole(1, 65536), metavar="N", help="classes shown of each picture")
    group.add_argument("--score", type=share, metavar="0..1", help="score that a box, or a pixel, must exceed")
    group.add_argument(
        "--nms", type=share, metavar="0..1", help="overlap above which the worse of two boxes is dropped"
    )


def add_pack_options(pack: Parser) -> None:
    """Add what ``edgesr pack`` takes for networks that label pictures."""
    group = pack.add_argument_group("networks that label pictures")
    group.add_argument("--task", choices=("restore", "classify", "segment", "detect"), help="default: restore")
    add_input_options(group)


def add_input_options(group: argparse._ActionsContainer) -> None:
    """Add the options for names of classes and for what a network expects of a picture."""
    group.add_argument("--labels", type=filled, metavar="FILE", help="names of the classes, one on each line")
    group.add_argument(
        "--resize",
        metavar="RULE:SIZE",
        help="short-side:256, exact:HxW, letterbox:HxW, fit:SHORT,LONGEST, or none for pictures as they are",
    )
    group.add_argument("--crop", type=pair_of_sides, metavar="HxW", help="middle that is cut out after resizing")
    group.add_argument("--interpolation", choices=("nearest", "bilinear", "bicubic"), help="default: bilinear")
    group.add_argument("--no-antialias", action="store_true", help="resize as torch does without antialias")
    group.add_argument("--mean", type=vector, metavar="R,G,B", help="subtracted from each channel, in units of --range")
    group.add_argument("--std", type=vector, metavar="R,G,B", help="that each channel is divided by afterwards")


def thresholds(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the thresholds that the user gave."""
    given = {"top_k": arguments.top_k, "score": arguments.score, "nms": arguments.nms}
    return {name: value for name, value in given.items() if value is not None}


def label_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of model.json that the options of ``pack`` stand for."""
    expects = {
        "mean": arguments.mean,
        "std": arguments.std,
        "crop": arguments.crop,
        "resize": None if arguments.resize is None else _resize(arguments.resize),
    }
    given: dict[str, Any] = {name: value for name, value in expects.items() if value is not None}
    if given.get("resize") == {}:
        given["resize"] = None
    how = {} if arguments.interpolation is None else {"interpolation": arguments.interpolation}
    how |= {"antialias": False} if arguments.no_antialias else {}
    if how and not given.get("resize"):
        raise UsageError("--interpolation and --no-antialias say how --resize works; give --resize too")
    if how:
        given["resize"] |= how
    if arguments.crop is not None and not given.get("resize"):
        raise UsageError("--crop cuts what --resize made; give --resize too, e.g. --resize short-side:256")
    fields = {"labels": None if arguments.labels is None else read_labels(arguments.labels), "input": given or None}
    fields = {name: value for name, value in fields.items() if value is not None}
    if fields and arguments.task in (None, "restore"):
        raise UsageError("--labels, --resize, --crop, --mean and --std need --task classify, segment or detect")
    return {**fields, **({} if arguments.task is None else {"task": arguments.task})}


def read_labels(path: str) -> list[str]:
    """Return the lines of a text file without empty ones at its end."""
    from edgesr.image.source import open_source

    with open_source(path) as file:
        content = file.read(_MAX_BYTES)
    try:
        lines = content.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"--labels {path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    for place, line in enumerate(lines, 1):
        if not line.strip():
            raise UsageError(f"--labels {path}: line {place} is empty; give one name on each line")
    if not lines:
        raise UsageError(f"--labels {path}: {Path(path).name} is empty; give one name on each line")
    return [line.strip() for line in lines]


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def vector(text: str) -> list[float]:
    """Parse ``A,B,C`` or one number."""
    numbers = [number(part) for part in text.split(",")]
    if len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError(f"expected one number or three with commas, got {text!r}")
    return numbers


def pair_of_sides(text: str) -> list[int]:
    """Parse ``HEIGHTxWIDTH``."""
    sides = [whole(1, 65536)(part) for part in text.split("x")]
    if len(sides) != 2:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 224x224, got {text!r}")
    return sides


def _resize(text: str) -> dict[str, Any]:
    """Return a rule; nothing for pictures as they are."""
    rule, _, rest = text.partition(":")
    try:
        if text == "none":
            return {}
        if rule == "short-side":
            return {"rule": rule, "size": [whole(1, 65536)(rest)]}
        if rule == "fit":
            short, longest = (whole(1, 65536)(part) for part in rest.split(","))
            return {"rule": rule, "size": [short], "longest": longest}
        if rule in _RULES:
            return {"rule": rule, "size": pair_of_sides(rest)}
    except (argparse.ArgumentTypeError, ValueError):
        pass
    raise UsageError(f"--resize {text!r}: expected short-side:256, exact:HxW, letterbox:HxW, fit:SHORT,LONGEST or none")
