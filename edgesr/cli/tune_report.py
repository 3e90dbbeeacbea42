"""What ``edgesr tune`` found, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesr.cli.output import note, result
from edgesr.tune.search import Found
from edgesr.tune.trial import Trial


def show(found: Found, written: Path | None, told: str) -> None:
    """Print the new package and the frontier between what is written and what was there."""
    if written is not None:
        result(str(written))
    winner = found.winner
    rows = [("full", found.reference), ("now", found.packaged)]
    rows += [("best" if trial is winner else "", trial) for trial in found.frontier]
    if winner is not None and winner not in found.frontier:
        rows.append(("best", winner))
    with_lpips = found.reference.mean().lpips is not None
    names = ("PSNR", "SSIM", "GMSD", *(("LPIPS",) if with_lpips else ()))
    result(f"{'':5}{'evaluations':>11}{'ms':>9}{''.join(f'{name:>8}' for name in names)}  setting")
    for mark, trial in rows:
        result(_row(mark, trial))
    note(f"{found.tried} settings were tried on {told}; full is the package's own schedule, now its present default")
    if winner is not None:
        faster = found.reference.milliseconds / winner.milliseconds
        fewer = found.reference.candidate.evaluations / winner.candidate.evaluations
        note(
            f"the best takes {fewer:.0f} times fewer evaluations and {faster:.0f} times less time than the full "
            "schedule, and is below it in no score"
        )


def document(found: Found, written: Path | None, told: str) -> dict[str, Any]:
    """Return the JSON document; ``output`` is null where nothing reached the full schedule."""
    winner = found.winner
    return {
        "output": None if written is None else str(written),
        "pictures": told,
        "tried": found.tried,
        "full": found.reference.document(),
        "now": found.packaged.document(),
        "best": None if winner is None else winner.document(),
        "frontier": [trial.document() for trial in found.frontier],
        "finalists": [
            {**trial.document(), "below_full": trial.mean().misses(found.reference.mean())} for trial in found.trials
        ],
    }


def _row(mark: str, trial: Trial) -> str:
    scores = trial.mean()
    perceived = "" if scores.lpips is None else f"{scores.lpips:8.4f}"
    return (
        f"{mark:5}{trial.candidate.evaluations:11}{trial.milliseconds:9.1f}{scores.psnr:8.3f}{scores.ssim:8.4f}"
        f"{scores.gmsd:8.4f}{perceived}  {trial.candidate.told()}"
    )
