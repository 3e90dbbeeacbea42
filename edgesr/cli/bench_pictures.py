"""The pictures of ``edgesr bench`` and what is known to be true of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgesr.bench.evaluate import Material
from edgesr.bench.labels_file import LabelTable, folder_labels, read_labels
from edgesr.bench.pairs import PicturePair, evenly, find_pairs
from edgesr.bench.pictures import DEFAULT_PICTURE
from edgesr.errors import InputError, UsageError
from edgesr.image.resample import Kernel
from edgesr.pipelines.sources import is_pattern

PICTURES = 8
"""So many are taken where nothing says what is true of them and the user does not say otherwise."""


@dataclass(frozen=True)
class Pictures:
    """What is measured on."""

    pairs: Sequence[PicturePair]
    material: Material
    told: str
    """A sentence about them."""


def find(arguments: argparse.Namespace) -> Pictures:
    """Return the pictures that the arguments name, else the example."""
    images, low, high, kernel = arguments.images, arguments.lr, arguments.hr, arguments.downscale
    material = _material(arguments)
    if material.labels is not None and material.labels.is_folder and not (images or low or high):
        images = str(material.labels.path)
    if images and (low or high):
        raise UsageError("--images is for inputs alone; give it without --lr and --hr")
    if low and kernel:
        raise UsageError("--downscale makes inputs of references; leave it out, or leave out --lr")
    for option, given in (("--images", images), ("--lr", low), ("--hr", high)):
        if given and not is_pattern(given) and not Path(given).exists():
            raise InputError(f"{option} {given}: there is no such file or folder; check the path")
    if not (images or low or high):
        if _truths(arguments):
            raise UsageError(f"{_truths(arguments)[0]} says what pictures show; name them with --images")
        made: Kernel = kernel or "cubic"
        return Pictures(
            find_pairs(high=DEFAULT_PICTURE, kernel=made),
            material,
            f"no pictures were given: the example chest X-ray is the reference, its input is made by {made}; give "
            "yours with --images, or --lr and --hr",
        )
    by: Kernel | None = kernel or (None if images or low else "cubic")
    if images:
        low, high = (None, images) if kernel else (images, None)
    pairs = find_pairs(low=low, high=high, kernel=by, recursive=material.labels is not None)
    pairs = _named(pairs, material)
    limit = arguments.limit or (len(pairs) if _truths(arguments) else PICTURES)
    how = f"inputs made of references by {by}" if by else "inputs as given"
    references = "" if any(pair.high for pair in pairs) else ", without references: no PSNR, SSIM, LPIPS"
    if _truths(arguments):
        references = f", compared with {', '.join(_truths(arguments))}"
    taken = evenly(pairs, limit)
    count = "1 picture" if len(taken) == 1 else f"{len(taken)} pictures"
    if len(taken) < len(pairs):
        count += f" of {len(pairs)}"
    return Pictures(taken, material, f"{count}, {how}{references}")


def _material(arguments: argparse.Namespace) -> Material:
    labels = _labels(arguments)
    for option in ("masks", "annotations"):
        given = getattr(arguments, option)
        if given and not Path(given).exists():
            raise InputError(f"--{option} {given}: no such file or folder")
    if (arguments.mask_values or arguments.classes) and not arguments.masks:
        raise UsageError("--mask-values and --classes are about masks; name their folder with --masks")
    return Material(
        labels=labels,
        masks=arguments.masks,
        mask_values=arguments.mask_values,
        classes=arguments.classes,
        annotations=arguments.annotations,
    )


def _labels(arguments: argparse.Namespace) -> LabelTable | None:
    if not arguments.labels:
        if arguments.label_column:
            raise UsageError("--label-column names a column of a table; give it with --labels FILE.csv")
        return None
    if not Path(arguments.labels).is_dir():
        return read_labels(arguments.labels, label=arguments.label_column)
    if arguments.label_column:
        raise UsageError(f"--label-column is for tables; the subfolders of {arguments.labels} name the classes")
    return folder_labels(arguments.labels)


def _named(pairs: list[PicturePair], material: Material) -> list[PicturePair]:
    """Return the pairs that the table of labels names, if there is one, under the names that it gives them."""
    if material.labels is None:
        return pairs
    named = []
    for pair in pairs:
        path = pair.low or pair.high
        known = material.labelled(path) if path else None
        if known is not None:
            named.append(replace(pair, name=known.name))
    if not named:
        raise InputError(f"{material.labels.path} names none of the {len(pairs)} pictures")
    return named


def _truths(arguments: argparse.Namespace) -> list[str]:
    """Return the options that say what is true of the pictures."""
    return [f"--{name}" for name in ("labels", "masks", "annotations") if getattr(arguments, name)]
