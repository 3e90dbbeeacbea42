"""Argument parsing with suggestions for mistyped words."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable
from typing import NoReturn

from edgesr.cli.output import result
from edgesr.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError with a suggestion instead of exiting."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]
        # What looks like a negative number is a value, also in pairs: --range -1,1; so is standard input: -?format=y4m.
        self._negative_number_matcher = re.compile(r"-\.?\d|-\?")

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with ``message`` and the closest known word."""
        raise UsageError(f"{message}{self._hint(message)}; see `{self.prog} --help`")

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """Parse ``argv``, naming unknown options together with what they may have meant."""
        self._refuse_unknown(argv)
        arguments, rest = self.parse_known_args(argv)
        if rest:
            known = self._options(arguments.command)
            misplaced = " (give it after the command)" if rest[0].partition("=")[0] in known else ""
            raise UsageError(f"unknown option or argument: {' '.join(rest)}{misplaced}; see `{self.prog} --help`")
        return arguments

    def _refuse_unknown(self, argv: list[str]) -> None:
        """Name mistyped long options first: argparse would complain about what is missing in their place."""
        known = self._options(next((word for word in argv if not word.startswith("-")), None))
        words = argv[: argv.index("--")] if "--" in argv else argv
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            if option not in known:
                raise UsageError(f"unknown option {option}{suggestion(option, known)}; see `{self.prog} --help`")

    def _options(self, command: str | None) -> list[str]:
        """List the options that ``command`` takes; those of all commands where none is given."""
        options = [option for action in self._actions for option in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = [command] if command in action.choices else action.choices
                options += [option for name in chosen for option in action.choices[name]._options(None)]
        return options

    def _print_message(self, message: str, file: object = None) -> None:
        """Print help and version as every other result."""
        result(message.rstrip("\n"))

    def _hint(self, message: str) -> str:
        match = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        return suggestion(match[1], re.findall(r"[\w.:-]+", match[2])) if match else ""


def suggestion(word: str, known: list[str]) -> str:
    """Return ``" (did you mean X?)"`` for the closest of ``known``, or nothing."""
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def pair(text: str) -> tuple[float, float]:
    """Parse ``LOW,HIGH``."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH such as 0,255, got {text!r}") from None
    return low, high


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def number(text: str) -> float:
    """Parse a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return value


def filled(text: str) -> str:
    """Refuse what no file can be called: the empty words that unset shell variables leave behind, and zero bytes."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"is {'no name' if text else 'empty; was a variable meant that is not set?'}")
    return text
