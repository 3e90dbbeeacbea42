"""Pictures for calibration and comparison, and what a restoration network is fed when they run through it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.artifact import write_typed
from edgesr.compile.feeds import Feed, FeedRecorder
from edgesr.compile.gate import Picture, Verdict, compare_pictures
from edgesr.compile.shapes import Profile
from edgesr.compile.typed import Typed
from edgesr.engines import Backend, open_backend
from edgesr.errors import AccuracyError, InputError
from edgesr.image.convert import from_float, to_float
from edgesr.model import ModelDescriptor, ModelPackage, open_package
from edgesr.model.probing import smooth_picture
from edgesr.model.rules import NETWORK
from edgesr.pipelines.compiled import for_profile
from edgesr.pipelines.crops import middle_crop, representative_crops
from edgesr.pipelines.restore import Restorer
from edgesr.pipelines.sources import find_pictures, read_sources
from edgesr.types import Array

PICTURES = 16
SIDE = 64
"""Pictures are cut to their middle of this many pixels, enough for the statistics of a layer."""
_TILES = 8
_TILES_OF_PICTURE = 4
"""Of networks with tiles of one size: at most so many tiles of a picture, and in all, or one of every picture."""
_WHOLE = 256
"""Side of drawn pictures for networks that see whole pictures."""


def calibration_pictures(
    package: ModelPackage, folder: str | os.PathLike[str] | None, *, count: int = PICTURES, side: int | None = SIDE
) -> tuple[list[Picture], str]:
    """Return pictures of ``folder``, or the package's golden input, or drawn ones; and a sentence that says which.

    Pictures are cut to their middle of ``side`` pixels, None leaves them whole; for a restoration whose tiles have one
    size, to a few tiles that stand for them, so that each is one run. The first comes once for every setting of the
    model's controls, the others with the default.
    """
    if folder is not None:
        paths = find_pictures(folder)
        chosen = [paths[i * len(paths) // min(count, len(paths))] for i in range(min(count, len(paths)))]
        items = [(Path(item.name).name, item.pixels) for item in read_sources(chosen)]
        told = f"{len(chosen)} of {len(paths)} pictures in {Path(folder).name}"
    elif package.descriptor.golden and "input" in package.descriptor.golden:
        file = package.descriptor.golden["input"]
        path = package.storage.path(file)
        items = [(file, _golden(package, file))] if path is None else [(i.name, i.pixels) for i in read_sources(path)]
        told = "the package's golden picture"
    else:
        items = [*_drawn(package.descriptor.input_channels, side or _WHOLE)]
        told = "drawn pictures, as none were given with --calib"
    fixed = package.descriptor.size.fixed if package.descriptor.task == "restore" else None
    if side is None:
        pictures = [Picture(name, pixels) for name, pixels in items]
    elif fixed is None:
        pictures = [Picture(name, middle_crop(pixels, (side, side))) for name, pixels in items]
    else:
        count = max(min(_TILES // len(items), _TILES_OF_PICTURE), 1)
        pictures = [
            Picture(f"{name} at {place}", pixels)
            for name, whole in items
            for place, pixels in representative_crops(whole, fixed, count)
        ]
        told = f"{len(pictures)} tiles of {fixed[0]} x {fixed[1]} out of {told}"
    first = pictures[0]
    varied = [
        Picture(f"{first.name} ({', '.join(f'{k} {v}' for k, v in values.items())})", first.pixels, values)
        for values in _settings(package.descriptor)
    ]
    return [*pictures, *varied], told


class PictureProof:
    """Pictures, what a model's network is fed with them, and the FP32 results."""

    def __init__(
        self,
        package: ModelPackage,
        pictures: Sequence[Picture],
        *,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self._package = package
        self.results: Mapping[str, str] = {}
        """Names of outputs that are no pictures: none."""
        self._pictures = list(pictures)
        recorder = FeedRecorder(open_backend("cpu"))
        self._expected: list[Array] = []
        with Restorer(package, recorder) as restorer:
            for picture in self._pictures:
                self._expected.append(_run(restorer, picture))
                if on_step is not None:
                    on_step(len(self._expected), len(self._pictures))
            self.feeds: list[Feed] = list(recorder.feeds)
            if "quantum" in restorer.descriptor.parts[NETWORK].inputs:  # floats have none
                for picture in self._pictures:
                    restorer(picture.pixels, **picture.settings)
                self.feeds = [*recorder.feeds[len(self.feeds) :], self.feeds[0]]

    def compare(self, typed: Typed, only: str | None = None) -> Verdict:
        """Run another form of the network through the whole pipeline and compare its pictures with those of FP32.

        ``only`` names one picture to compare on.
        """
        pairs = zip(self._pictures, self._expected, strict=True)
        pictures, expected = zip(*(pair for pair in pairs if only in (None, pair[0].name)), strict=True)
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            place = write_typed(Path(folder) / "candidate", self._package, typed, {})
            with Restorer(open_package(place), open_backend("cpu")) as restorer:
                return compare_pictures(lambda picture: _run(restorer, picture), pictures, expected)

    def compare_engine(self, typed: Typed, backend: Backend, plan: Path, profile: Profile) -> Verdict:
        """Compare an engine of another form of the network with FP32, in tiles that it takes; closes ``backend``."""
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            package = open_package(write_typed(Path(folder) / "candidate", self._package, typed, {}))
            fitting, tile = for_profile(package, profile)
            channels = self._package.descriptor.input_channels
            pictures, expected = self._pictures, self._expected
            if typed.embedded is not None:
                with Restorer(self._package, open_backend("cpu")) as restorer:
                    pictures = [
                        replace(it, pixels=_whole_numbers(it.pixels, typed.embedded, channels)) for it in pictures
                    ]
                    expected = [to_float(restorer(it.pixels, **it.settings)) for it in pictures]
            with Restorer(fitting, backend, tile=tile, network=plan) as restorer:
                return compare_pictures(lambda picture: _run(restorer, picture), pictures, expected)

    def require_embedded(self, plain: Typed, embedded: Typed, kind: str) -> None:
        """Raise AccuracyError unless a network with pictures at both ends gives the grey levels that it gives without.

        Pictures have as many channels as the network: grey is repeated for three, the first one is taken for one.
        """
        for name, ours, theirs in zip(
            (picture.name for picture in self._pictures),
            self._of_kind(embedded, kind),
            self._of_kind(plain, kind),
            strict=True,
        ):
            if not np.array_equal(ours, theirs):
                count = int(np.count_nonzero(ours != theirs))
                raise AccuracyError(
                    f"{self._package.descriptor.name}: with its pictures in the graph {count} of {ours.size} grey "
                    f"levels of {name} are others; nothing was written; build it without --embed-io"
                )

    def _of_kind(self, typed: Typed, kind: str) -> list[Array]:
        """Run whole numbers through the pipeline of a network."""
        channels = self._package.descriptor.input_channels
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            place = write_typed(Path(folder) / "candidate", self._package, typed, {})
            with Restorer(open_package(place), open_backend("cpu")) as restorer:
                return [
                    restorer(_whole_numbers(picture.pixels, kind, channels), **picture.settings)
                    for picture in self._pictures
                ]

    def feed(self, name: str) -> Feed:
        """Return the first feed of the picture that an entry of a verdict names."""
        return self.feeds[[picture.name for picture in self._pictures].index(name)]


def _run(restorer: Restorer, picture: Picture) -> Array:
    """Return float32 pixels in [0, 1]."""
    if restorer.descriptor.embedded_io is not None:
        return to_float(restorer(picture.pixels, **picture.settings))
    return restorer(to_float(picture.pixels), **picture.settings)


def _whole_numbers(pixels: Array, kind: str, channels: int) -> Array:
    """Return a picture of ``kind`` with as many channels as a network takes."""
    colors = pixels[..., :channels]
    same = np.repeat(colors[..., :1], channels, axis=2) if colors.shape[2] < channels else colors
    return from_float(np.ascontiguousarray(to_float(same)), kind)


def _settings(descriptor: ModelDescriptor) -> Iterator[dict[str, Any]]:
    """Yield every choice and every end of every control that is not its default."""
    for name, control in descriptor.controls.items():
        for choice, values in (control.choices or {}).items():
            if values != control.default:
                yield {name: choice}
        if len(control.default) == 1:
            for end in (control.minimum, control.maximum):
                if end is not None and end != control.default[0]:
                    yield {name: end}


def _golden(package: ModelPackage, file: str) -> Array:
    """Read a picture that lies in an archive."""
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        path = Path(folder) / Path(file).name
        path.write_bytes(package.read(file))
        item = next(iter(read_sources(path)), None)
    if item is None:
        raise InputError(f"{file}: holds no picture")
    return item.pixels


def _drawn(channels: int, side: int) -> Iterator[tuple[str, Array]]:
    """Draw a smooth picture, noise, and sharp stripes, uint8 ``(side, side, c)``."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side]
    planes = 3 if channels >= 3 else 1
    for name, picture in (
        ("a smooth picture", smooth_picture(side, side)),
        ("noise", random.uniform(0.0, 1.0, (side, side))),
        ("stripes", ((x // 3 + y // 5) % 2).astype(np.float64)),
    ):
        yield name, np.repeat(np.rint(picture * 255).astype(np.uint8)[..., None], planes, axis=2)
