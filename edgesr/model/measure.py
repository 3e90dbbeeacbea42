"""Measure what the shapes of a foreign network leave open, and remember it for the next time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesr.errors import EdgesrError, ModelError
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.descriptor import SizeRequirements
from edgesr.model.face import Face
from edgesr.model.onnx_file import is_safe_size

if TYPE_CHECKING:
    from edgesr.types import Array

OpenProbe = Callable[[Path], Callable[[Mapping[str, "Array"]], Mapping[str, "Array"]]]
"""Opens an ONNX file and returns a function that runs it on arrays by name."""

_REVISION = 4
"""Raise when the measurements change, so that nothing old is remembered."""
_TRIAL = 64


def measure(
    face: Face,
    open_probe: OpenProbe,
    path: Path,
    *,
    scale: int | None,
    given: tuple[float, float] | None,
    notes: list[str],
) -> dict[str, Any]:
    """Return what running the network tells: scale, channels, sizes, ranges and receptive field."""
    from edgesr.model.probing import RANGES, Probe, find_range, find_scale, find_sizes
    from edgesr.model.receptive_field import measure_receptive_field

    try:
        run = open_probe(path)
    except EdgesrError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: does not load: {' '.join(str(error).split())[:300]}") from None
    others = {tensor.name: (tensor.shape or (), tensor.dtype) for tensor in face.others.values()}
    probe = Probe(run, face.image.name, face.output.name, face.layout, face.channels, face.image.dtype, others)
    found, channels = find_scale(probe, face.fixed)
    if (face.channels, channels) not in ((1, 1), (3, 3)):
        raise ModelError(
            f"{path}: maps {face.channels} channels to the {channels} of its output {face.output.name!r}; "
            "edgesr restores pictures with networks that map 1 to 1 or 3 to 3, export one that does"
        )
    if scale not in (None, found):
        raise ModelError(f"{path}: enlarges {found} times, not {scale}; leave out --scale")
    values: dict[str, Any] = {"scale": found, "output_channels": channels, "size": SizeRequirements(fixed=face.fixed)}
    if not any(note.startswith("the scale") for note in notes):
        notes.append(f"the scale {found} was measured")
    if face.fixed is None:
        multiple, minimum = find_sizes(probe, found, lambda side: is_safe_size(path, face.shapes(side, side)))
        values["size"] = SizeRequirements(multiple, minimum)
        notes.append(f"sides must be multiples of {multiple} and at least {minimum} pixels, as measured")
    side = -(-_TRIAL // values["size"].multiple) * values["size"].multiple
    size = face.fixed or (side, side)
    if not probe.repeats(*size):
        notes.append("the network draws random numbers: it gives another picture each time, and tiles that do not fit")
    candidates = (given,) if given else ((0.0, 255.0),) if face.image.dtype == "uint8" else RANGES
    try:
        values["range"], values["output_range"], is_ambiguous = find_range(probe, size, found, candidates)
        notes.append(
            "the value range {:g} .. {:g}, output {:g} .. {:g}, was found by running it; --range changes it".format(
                *values["range"], *values["output_range"]
            )
        )
        if given is None and is_ambiguous:
            notes.append("a network trained on -1 .. 1 may look the same; if this one was, give --range=-1,1")
    except ModelError:
        if given is None and face.image.dtype != "uint8":
            raise
    if face.fixed is None:
        radius = measure_receptive_field(probe, found, values["size"].multiple, values.get("range", candidates[0]))
        values["receptive_field"] = radius
        notes.append(
            "the receptive field is unknown or unbounded"
            if radius is None
            else f"the receptive field reaches {radius} pixels"
        )
    return values


def recall(key: str) -> dict[str, Any] | None:
    """Return what was remembered under a key, None if that is nothing or damaged."""
    try:
        found = json.loads(_place(key).read_text("utf-8"))
    except (OSError, ValueError, RecursionError, RuntimeError):
        return None
    return found if isinstance(found, dict) else None


def remember(key: str, found: Mapping[str, Any]) -> None:
    """Keep what was found for the next process; a cache that cannot be written is left alone."""
    try:
        place = _place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as stream:
            stream.write(json.dumps(found).encode("utf-8"))
    except (OSError, RuntimeError):
        return


def memory_key(digest: str, *asked: object) -> str:
    """Name a measurement by the network and by what the user asked for."""
    return sha256(json.dumps([_REVISION, digest, *asked]).encode("utf-8")).hexdigest()


def _place(key: str) -> Path:
    return cache_folder() / "described" / f"{key}.json"
