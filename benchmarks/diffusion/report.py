"""The tables of the diffusion benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.diffusion.results import (
    BARE,
    CALL,
    CALL_VINO,
    COMMAND,
    EAGER,
    FOLDER,
    FOLDER_VINO,
    FULL,
    FULL_PROCESS,
    LOOP,
    OF_A_FOLDER,
    PROCESS,
    PUBLISHED,
    SAME,
    SHORT,
)  # fmt: skip
from benchmarks.page import head, preliminary, table
from benchmarks.timing import ratios, summarize

if TYPE_CHECKING:
    from benchmarks.diffusion.command import Results

MIB = 1 << 20
TARGETS = {
    "published": 100.0,
    "same": 1.5,
    "agreement": 40.0,
    "ratio": 0.40,
    "residual": 0.25,
    "loss": 0.001,
    "loop": 3.0,
}


def render(results: Results) -> str:
    """Return Markdown."""
    environment, plan = results.environment, results.plan
    facts = [f"Threads: {plan.threads}; load per core before {environment.load}, after {results.load_after}"]
    if not environment.is_quiet:
        facts += preliminary(environment)
        facts.append(
            "Every time was taken beside it; the sides were run in turn, and ratios are of runs that followed each "
            "other."
        )
    parts = [head("Diffusion", environment, *facts), _speed(results), _quality(results), _memory(results)]
    return "\n\n".join(parts) + "\n"


def _speed(results: Results) -> str:
    speed, few = results.speed, results.speed.seconds
    rows = [[name, summarize(samples).text(1.0, 3)] for name, samples in few.items()]
    loop, against = summarize(speed.loop), summarize(overheads(few))
    same = summarize(ratios(few[EAGER], few[SAME]))
    through = summarize(ratios(few[PUBLISHED], few[SAME]))
    told = [
        *_against_published(few),
        ["PyTorch eager / edgesr, same 300 steps", same.text(1, 2), "1.5", _met(same.median >= TARGETS["same"])],
        ["the published way / edgesr, same 300 steps", through.text(1, 2), "", ""],
        ["a step beside its call of the engine, %", loop.text(1, 1), "3", _met(loop.median <= TARGETS["loop"])],
        ["a step against a bare call of its network, %", against.text(1, 1), "", ""],
        [
            "PSNR of the two 300-step pictures from one noise",
            f"{speed.agreement:.1f} dB",
            "40 dB",
            _met(speed.agreement >= TARGETS["agreement"]),
        ],
    ]
    return (
        "## Time of one picture, 64 x 64 to 256 x 256\n\n"
        "Where no process is named, networks are loaded and warm and PyTorch's noise is drawn beforehand. `edgesr` "
        "takes the steps that the package takes by default, on ONNX Runtime where OpenVINO is not named. The published "
        "size is diffusers' AutoencoderKL (83,653,863 parameters, latents of 4 x 32 x 32) and the U-Net of 813,220, "
        "with seeded weights: times do not depend on them, and how good its pictures are is measured below with our "
        "own network of that U-Net's size, trained the published way. Folders are of "
        f"{OF_A_FOLDER} pictures, whose process is counted whole. A step is what 30 steps more "
        f"take, from 10 to 40, divided by 30: beside the time inside their own calls of the engine, and against bare "
        f"calls of the network in {len(few[LOOP])} rounds of their own; all others took turns in "
        f"{results.plan.rounds} rounds after short runs that are not counted. "
        "Median (quartiles).\n\n"
        + table(["what", "s"], rows)
        + "\n\nRatios pair by pair:\n\n"
        + table(["ratio", "times", "target", "met"], told)
    )


def _against_published(seconds: dict[str, list[float]]) -> list[list[str]]:
    """Return the rows of how many times less time edgesr takes, with the published networks and with ours that way."""
    rows = []
    for networks, loaded, process in (("published size", FULL, FULL_PROCESS), ("our networks", PUBLISHED, PROCESS)):
        for side, theirs, ours in (
            ("a process", process, COMMAND),
            ("loaded / a process", loaded, COMMAND),
            ("loaded / a folder, a picture", loaded, FOLDER),
            ("loaded", loaded, CALL),
            ("loaded / a folder on OpenVINO, a picture", loaded, FOLDER_VINO),
            ("loaded, edgesr on OpenVINO", loaded, CALL_VINO),
        ):
            if ours not in seconds:
                continue
            times = summarize(ratios(seconds[theirs], seconds[ours]))
            is_met = _met(times.median >= TARGETS["published"])
            rows.append([f"300 steps, {networks} / edgesr: {side}", times.text(1, 1), "100", is_met])
    return rows


def overheads(seconds: dict[str, list[float]]) -> list[float]:
    """Return, round by round, how much longer a step of the loop takes than a bare call, in percent."""
    rounds = zip(seconds[LOOP], seconds[SHORT], seconds[BARE], strict=True)
    return [100 * ((long - short) / bare - 1) for long, short, bare in rounds]


def _quality(results: Results) -> str:
    rows = [
        [
            point.method,
            str(point.evaluations or ""),
            f"{point.psnr:.2f}",
            f"{point.ssim:.4f}",
            f"{point.lpips:.4f}",
            f"{point.lpips_ratio:.2f}",
            f"{point.residual:.3f}",
            f"{point.residual_most:.3f}",
            f"{point.orthogonal_gain:+.3f}" if point.evaluations else "",
            f"{point.orthogonal_worst:+.4f}" if point.evaluations else "",
        ]
        for point in results.quality
    ]
    made = [point for point in results.quality if point.evaluations]
    worst, most = min(point.orthogonal_worst for point in made), max(point.residual_most for point in made)
    told = [
        ["largest residual of any picture", f"{most:.3f} grey levels", "0.25", _met(most <= TARGETS["residual"])],
        ["least gain by the orthogonal projection", f"{worst:+.4f} dB", "-0.001", _met(worst >= -TARGETS["loss"])],
    ]
    header = ["method", "evaluations", "PSNR dB", "SSIM", "LPIPS", "of bicubic", "residual", "most"]
    return (
        f"## Quality over network evaluations ({results.plan.pictures} pictures)\n\n"
        "Everything but bicubic after the orthogonal projection onto the input; LPIPS is AlexNet v0.1. The residual is "
        "what clipping and rounding do not explain, RMS in grey levels; the last columns are what the projection adds "
        "to PSNR, on average and on the picture where it is least.\n\n"
        + table([*header, "projection dB", "least"], rows)
        + "\n\n"
        + table(["", "measured", "target", "met"], told)
    )


def _memory(results: Results) -> str:
    rows = [
        [
            f"{item.side} x {item.side} to {4 * item.side} x {4 * item.side}",
            f"{item.peak / MIB:.0f}",
            f"{(item.peak - item.interpreter) / MIB:.0f}",
        ]
        for item in results.memory
    ]
    return (
        "## Memory\n\n"
        "`edgesr run` of a grey PNG in a fresh process: highest resident memory (VmHWM), and how much of it is above a "
        "Python that imports nothing. Target: 64 x 64 under 200 MB above; larger ones by tiles.\n\n"
        + table(["picture", "peak MiB", "above the interpreter MiB"], rows)
    )


def _met(is_met: bool) -> str:
    return "yes" if is_met else "no"
