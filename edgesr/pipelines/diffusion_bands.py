"""One picture through a latent diffusion: encoded, walked down the schedule, decoded and made consistent in bands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from itertools import count
from time import perf_counter

import numpy as np

from edgesr.errors import BackendError, NonFiniteError, UsageError
from edgesr.image.backproject import back_project
from edgesr.image.convert import from_float, to_float
from edgesr.image.measurement import Bounds
from edgesr.image.resample import upscale_window
from edgesr.model.descriptor import ModelDescriptor
from edgesr.pipelines.bands import Band
from edgesr.pipelines.consistent import consistent_bands
from edgesr.pipelines.diffusion_network import DiffusionNetwork
from edgesr.pipelines.diffusion_options import Resolved
from edgesr.pipelines.latent_tiles import LatentTiles, around_of, latent_tiles
from edgesr.pipelines.linked import Combined, linked_bands
from edgesr.pipelines.noisy import unusual_noise, widen
from edgesr.pipelines.reduce import reduce_channels
from edgesr.pipelines.reverse import Reverse, State
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray

OnStep = Callable[[int, int], None]
_POOLING = 64
"""Latents whose sides are multiples of this no usual U-Net fails to divide."""

Made = Callable[[int, int], Iterator[FloatArray]]
"""Bands of a plane, by its number and the sample's."""


@dataclass(frozen=True)
class Walk:
    """What all pictures of one call share."""

    network: DiffusionNetwork
    options: Resolved
    tile: int | None
    batch: int
    timings: Timings
    on_step: OnStep | None = None


def diffuse_bands(walk: Walk, pixels: Array, *, with_deviation: bool) -> Iterator[Band]:
    """Make an enlarged picture of RGB pixels ``(H, W, C)``, uint8, uint16 or float32 in [0, 1].

    The latents of the whole picture are held; what is larger passes in bands. A one-channel network takes each colour
    plane by itself, with the same noise; a three-channel one takes grey as three equal planes. Alpha is enlarged
    bicubically. ``Band.bound`` is the standard deviation of the samples, or what the package's link makes of it, wider
    where the input is noisy, times the factor of ``uncertainty``.
    """
    options, ends = walk.options, walk.network.ends
    descriptor = ends.descriptor
    scale = descriptor.scale
    reduced = reduce_channels(pixels, to_grey=descriptor.input_channels == 1)
    h, w, channels = reduced.pixels.shape
    colors = channels - (channels in (2, 4))
    colored, alpha = reduced.pixels[..., :colors], to_float(reduced.pixels[..., colors:])
    tiles = latent_tiles(descriptor, h, w, walk.tile)
    planes = _planes(_padded(colored, tiles), descriptor.input_channels)
    plane_of = _whole(walk, planes, tiles) or _walked(walk, planes, tiles)
    pictures = []
    for sample in range(options.samples):
        parts = [plane_of(plane, sample) for plane in range(len(planes))]
        picture = _cropped(map(partial(_merged, colors), zip(*parts, strict=True)), h * scale, w * scale)
        if options.consistency != "off" and options.kernel is not None:
            picture = consistent_bands(
                picture, Bounds.of(colored), scale, options.kernel,
                projection=options.projection, strength=options.consistency_strength,
            )  # fmt: skip
        pictures.append(picture)
    known = descriptor.uncertainty
    link = known.link if known else None
    made: Iterable[Combined] = (combined(bands, options.fidelity) for bands in zip(*pictures, strict=True))
    if with_deviation and link is not None:
        made = linked_bands(made, link)
    excess = unusual_noise(descriptor, {str(options.kernel): 1.0}, colored) if with_deviation else 0.0
    top = 0
    for rows, deviation in made:
        if channels > colors:
            window = (slice(top, top + len(rows)), slice(0, w * scale))
            rows = np.concatenate([rows, upscale_window(alpha, scale, *window)], axis=2)
        top += len(rows)
        bound = None
        if with_deviation and deviation is not None:
            bound = widen(deviation, excess) * np.float32(known.factor if known else 1.0)
        yield Band(reduced.expand(from_float(rows, pixels.dtype)), bound)


def combined(samples: tuple[FloatArray, ...], fidelity: float) -> tuple[FloatArray, FloatArray | None]:
    """Return a picture between the first sample (fidelity 0) and the mean of all (1), and the standard deviation.

    ``samples`` are ``(h, W, C)``; the deviation is the largest of the channels', ``(h, W)``, None for one sample.
    """
    if len(samples) == 1:
        return samples[0], None
    stack = np.stack(samples)
    mean = stack.mean(axis=0)
    deviation: FloatArray = stack.std(axis=0, ddof=1).max(axis=2)
    picture: FloatArray = samples[0] + np.float32(fidelity) * (mean - samples[0])
    return picture, deviation


def _walked(walk: Walk, planes: list[Array], tiles: LatentTiles) -> Made:
    """Walk all planes and samples, and return what decodes one of them."""
    latents = _latents(walk, planes, tiles)
    return lambda plane, sample: walk.network.ends.decode(
        latents[plane * walk.options.samples + sample], tiles, walk.timings
    )


def _whole(walk: Walk, planes: list[Array], tiles: LatentTiles) -> Made | None:
    """Return what makes one plane in a single call, None where the package has no graph for what is asked."""
    options, whole = walk.options, walk.network.whole
    if whole is None or tiles.count > 1 or options.consistency == "every-step" or not whole.walks(options.schedule):
        return None
    small = [to_float(plane) for plane in planes]
    finished, total = count(1), len(planes) * options.samples * options.schedule.steps

    def make(plane: int, sample: int) -> Iterator[FloatArray]:
        picture = whole(small[plane], options.schedule, tiles, seed=options.seed, sample=sample, timings=walk.timings)
        if walk.on_step is not None:
            for _ in range(options.schedule.steps):
                walk.on_step(next(finished), total)
        yield picture

    return make


def _latents(walk: Walk, planes: list[Array], tiles: LatentTiles) -> FloatArray:
    """Return the last latents ``(n, channels, h, w)``: of each plane, all samples."""
    options, ends = walk.options, walk.network.ends
    schedule = options.schedule
    small = [to_float(plane) for plane in planes]
    states = []
    for index, plane in enumerate(small):
        latent = ends.encode(plane, tiles, walk.timings) if ends.has_encoder else None
        condition = ends.condition(plane, latent)
        states += [State(latent, condition, sample, index) for sample in range(options.samples)]

    def correct(latent: FloatArray, state: State) -> FloatArray:
        assert options.kernel is not None
        picture = np.concatenate(list(ends.decode(latent, tiles, walk.timings)))
        corrected = back_project(
            picture, Bounds.of(planes[state.plane]), ends.descriptor.scale, options.kernel,
            projection=options.projection, strength=options.consistency_strength,
        )  # fmt: skip
        return ends.encode(small[state.plane], tiles, walk.timings, large=corrected)

    is_corrected = options.consistency == "every-step"
    if is_corrected and not ends.encodes_large:
        raise UsageError(
            f"model {ends.descriptor.name} cannot encode pictures of the output's size, as consistency in every step "
            "needs; use --consistency final"
        )
    step = walk.network.step(schedule)
    batch = step.batch or min(walk.batch, max(len(states), tiles.count))
    finished, report = count(1), walk.on_step
    total = (len(states) if tiles.count > 1 else -(-len(states) // batch)) * schedule.steps
    reverse = Reverse(
        schedule, tiles, around_of(ends.descriptor).latent_channels, options.seed, batch,
        is_batch_fixed=step.batch is not None,
        correct=correct if is_corrected else None,
        locate=partial(walk.network.locate, schedule),
        on_step=(lambda: report(next(finished), total)) if report is not None else lambda: None,
    )  # fmt: skip
    spent, start = sum(astuple(walk.timings)), perf_counter()
    try:
        with walk.network.stepper(schedule) as stepper:
            latents = reverse.run(stepper, states)
    except NonFiniteError:
        raise
    except BackendError as error:
        raise _indivisible(ends.descriptor, tiles, error) from error
    walk.timings.infer += perf_counter() - start - (sum(astuple(walk.timings)) - spent)
    return latents


def _indivisible(descriptor: ModelDescriptor, tiles: LatentTiles, error: BackendError) -> BackendError:
    """Return what explains a step that failed on latents which its pooling may not divide, else the error itself."""
    h, w = tiles.rows[0].size, tiles.columns[0].size
    if not (h % _POOLING or w % _POOLING):
        return error
    return BackendError(
        f"model {descriptor.name}: a step failed on latents of {w} x {h}; if its U-Net cannot divide these, say in "
        f"model.json, under size.multiple, what sides it can (now {descriptor.size.multiple}), or pack it again: "
        f"{error}"
    )


def _padded(pixels: Array, tiles: LatentTiles) -> Array:
    """Reflect a picture until its latents are whole."""
    missing = [wanted - side for wanted, side in zip(tiles.picture, pixels.shape[:2], strict=True)]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else pixels


def _planes(pixels: Array, channels: int) -> list[Array]:
    """Split colours for a network that takes ``channels``."""
    colors = pixels.shape[2]
    if channels == 1:
        return [pixels[..., color : color + 1] for color in range(colors)]
    return [np.repeat(pixels, channels, axis=2) if colors == 1 else pixels]


def _merged(colors: int, parts: tuple[FloatArray, ...]) -> FloatArray:
    """Return as many colours as the picture has of what the network made."""
    made = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    if made.shape[2] == colors:
        return made
    return np.asarray(made.mean(axis=2, keepdims=True, dtype=np.float32))


def _cropped(bands: Iterable[FloatArray], height: int, width: int) -> Iterator[FloatArray]:
    """Cut off what was padded."""
    left = height
    for band in bands:
        if left > 0:
            yield band[:left, :width]
        left -= len(band)
