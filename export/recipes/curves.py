"""The curves of a training run as a CSV file."""

import csv
from pathlib import Path


def append(path: Path, step: int, row: dict[str, float]) -> None:
    """Append long-format rows ``step, quantity, value``: the quantities differ between the phases."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["step", "quantity", "value"])
        writer.writerows([step, name, value] for name, value in row.items())
