"""Argument parsing with suggestions for mistyped words."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import NoReturn

from edgesr.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError with a suggestion instead of exiting."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with ``message`` and the closest known word."""
        raise UsageError(f"{message}{self._hint(message)}; see `{self.prog} --help`")

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """Parse ``argv``, naming unknown options together with what they may have meant."""
        arguments, rest = self.parse_known_args(argv)
        if rest:
            known = list(self._options(getattr(arguments, "command", None)))
            hints = [f"{word}{suggestion(word.split('=')[0], known)}" for word in rest]
            raise UsageError(f"unknown option or argument: {', '.join(hints)}; see `{self.prog} --help`")
        return arguments

    def _options(self, command: str | None) -> list[str]:
        options = [option for action in self._actions for option in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command in action.choices:
                options += action.choices[command]._options(None)
        return options

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


def positive(text: str) -> int:
    """Parse an integer above zero."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
