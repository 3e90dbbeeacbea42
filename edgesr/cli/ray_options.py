"""The options of ``edgesr run --ray``."""

from __future__ import annotations

import argparse
import re

from edgesr.cli.parser import Parser, number, whole
from edgesr.errors import UsageError

_ADDRESS = re.compile(r"auto|local|(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


def add_ray_options(run: Parser) -> None:
    """Add what spreads many pictures over the machines of a Ray cluster."""
    group = run.add_argument_group("many pictures on a Ray cluster (needs edgesr[ray] on every machine)")
    group.add_argument(
        "--ray", nargs="?", const="", type=_address, metavar="ADDRESS",
        help="HOST:PORT, auto or local (default: $RAY_ADDRESS, else workers on this machine alone)"
    )  # fmt: skip
    group.add_argument(
        "--actors",
        type=whole(1, 100_000),
        metavar="N",
        help="workers (default: one per GPU, or one per --threads CPUs)",
    )
    group.add_argument(
        "--gpus-per-actor", type=_share, metavar="0..1", help="0.5 puts two on a GPU (default: 1, or 0 without GPUs)"
    )


def settle_ray(words: list[str]) -> list[str]:
    """Return the words of a command line in which ``--ray`` takes the next word only where that is an address."""
    settled = list(words)
    for index, word in enumerate(words):
        if word == "--":
            break
        if word == "--ray" and not (index + 1 < len(words) and _ADDRESS.fullmatch(words[index + 1])):
            settled[index] = "--ray="
    return settled


def refuse_ray_options(arguments: argparse.Namespace) -> None:
    """Raise UsageError for an option of Ray without ``--ray``."""
    for name in ("actors", "gpus_per_actor"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is for a Ray cluster; give --ray too, or leave it out")


def check_ray_options(arguments: argparse.Namespace) -> None:
    """Raise UsageError where the options contradict what Ray decides."""
    device, _, index = arguments.device.partition(":")
    if index:
        raise UsageError(f"--device {arguments.device}: Ray gives every worker its GPU; use --device {device}")
    if device in ("cpu", "openvino") and arguments.gpus_per_actor:
        raise UsageError(f"--gpus-per-actor {arguments.gpus_per_actor:g}: --device {device} uses none; leave one out")
    if device in ("cuda", "tensorrt") and arguments.gpus_per_actor == 0:
        raise UsageError(f"--gpus-per-actor 0: --device {device} needs one; leave one out")


def _address(text: str) -> str:
    if text.startswith("ray://"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is an address of Ray Client; run edgesr on a machine of the cluster, and give HOST:PORT"
        )
    if text and not _ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT such as 10.0.0.5:6379, auto or local, got {text!r}")
    return text


def _share(text: str) -> float:
    share = number(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share of a GPU from 0 to 1, got {text!r}")
    return share
