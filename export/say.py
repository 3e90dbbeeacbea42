"""What the exporters tell on the way."""

import sys


def say(text: str) -> None:
    """Write one line to standard error."""
    print(f"export: {text}", file=sys.stderr)
