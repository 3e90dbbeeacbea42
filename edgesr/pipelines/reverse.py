"""The reverse diffusion of a picture: resident on the device, or in tiles that are blended after every step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from edgesr.errors import NonFiniteError
from edgesr.pipelines.latent_tiles import LatentTiles
from edgesr.pipelines.stepper import Stepper
from edgesr.pipelines.tiling import Span, span_weights
from edgesr.schedule import Schedule, noise_field
from edgesr.types import Array, FloatArray

Tile = tuple[Span, Span]
_DRAWN_AHEAD = 4
"""Steps with noise from which a thread to draw it pays."""


@dataclass(frozen=True)
class State:
    """One picture, or plane of a picture, to be made: what it starts from, float32 ``(channels, h, w)``."""

    latent: FloatArray | None
    condition: FloatArray | None
    sample: int
    """Number that its noise depends on beside the seed."""
    plane: int = 0
    """Which of the picture's planes it is."""


@dataclass(frozen=True)
class Reverse:
    """A walk down a schedule, the same for all states of a picture."""

    schedule: Schedule
    tiles: LatentTiles
    channels: int
    seed: int
    batch: int
    """States, or tiles of one, that are run at once."""
    is_batch_fixed: bool = False
    correct: Callable[[FloatArray, State], FloatArray] | None = None
    """From the clean latents that a step predicted to those that agree with the measurement."""
    locate: Callable[[dict[str, Array]], str] = lambda inputs: ""
    """Says which layers of a step made values that are not finite, for its inputs."""
    on_step: Callable[[], None] = lambda: None
    """Called after each step of each batch or tiled state; what it raises ends the walk."""

    def run(self, stepper: Stepper, states: Sequence[State]) -> FloatArray:
        """Return the last states, ``(n, channels, h, w)``."""
        if self.tiles.count > 1:
            return np.stack([self._blended(stepper, state) for state in states])
        groups = (states[first : first + self.batch] for first in range(0, len(states), self.batch))
        return np.concatenate([self._resident(stepper, group) for group in groups])

    def _resident(self, stepper: Stepper, states: Sequence[State]) -> FloatArray:
        """Walk with states that stay on the device, unless they are corrected."""
        missing = self.batch - len(states) if self.is_batch_fixed else 0
        group = [*states, *[states[-1]] * missing]
        first = np.stack([self._first(state) for state in group])
        conditions = _stacked([state.condition for state in group])
        if self.correct is None and stepper.is_looping:
            last = self._at_once(stepper, group, first, conditions)
        else:
            last = self._step_by_step(stepper, group, first, conditions)
        if not np.isfinite(last).all():
            self._explain(stepper, group, first, conditions)
        return last[: len(states)]

    def _step_by_step(
        self, stepper: Stepper, group: Sequence[State], first: FloatArray, conditions: Array | None
    ) -> FloatArray:
        stepper.load(first, conditions, np.zeros_like(first))
        with closing(self._drawn(group)) as noises:
            for row, noise in zip(self.schedule.rows, noises, strict=True):
                stepper.advance(row, noise)
                if self.correct is not None:
                    self._correct(stepper, row, group)
                self.on_step()
        return np.array(stepper.state)

    def _drawn(self, group: Sequence[State]) -> Generator[FloatArray | None, None, None]:
        """Yield what each step adds; the next is drawn on a thread of its own while the device works on one."""
        rows = self.schedule.rows

        def draw(index: int) -> FloatArray | None:
            return self._noises(index, group) if index < len(rows) and rows[index, 7] else None

        if np.count_nonzero(rows[:, 7]) < _DRAWN_AHEAD:
            yield from map(draw, range(len(rows)))
            return
        with ThreadPoolExecutor(1, thread_name_prefix="edgesr-noise") as thread:
            ahead = thread.submit(draw, 0)
            for index in range(len(rows)):
                made = ahead.result()
                ahead = thread.submit(draw, index + 1)
                yield made

    def _at_once(
        self, stepper: Stepper, group: Sequence[State], first: FloatArray, conditions: Array | None
    ) -> FloatArray:
        """Walk in as few pieces as fit, each of which the device runs by itself."""
        rows = self.schedule.rows
        with_noise = bool(rows[:, 7].any())
        pieces = -(-len(rows) // stepper.most_at_once(first.shape, with_noise=with_noise))
        state, x0 = first, np.zeros_like(first)
        for piece in np.array_split(np.arange(len(rows)), pieces):
            noises = [self._noises(i, group) if rows[i, 7] else np.zeros_like(first) for i in piece if with_noise]
            state, x0 = stepper.walk(state, conditions, x0, rows[piece], np.stack(noises) if noises else None)
            for _ in piece:
                self.on_step()
        return np.array(state)

    def _correct(self, stepper: Stepper, row: Array, group: Sequence[State]) -> None:
        """Put corrected x0 in the place of the predicted ones; the update is linear in them."""
        assert self.correct is not None
        x0, after = np.array(stepper.x0), np.array(stepper.state)
        corrected = np.stack([self.correct(values, state) for values, state in zip(x0, group, strict=True)])
        stepper.replace(after + np.float32(row[5]) * (corrected - x0), corrected)

    def _explain(self, stepper: Stepper, group: Sequence[State], first: FloatArray, conditions: Array | None) -> None:
        """Walk again and raise NonFiniteError at the step whose result is not finite."""
        stepper.load(first, conditions, np.zeros_like(first))
        for index, row in enumerate(self.schedule.rows):
            before, x0 = np.array(stepper.state), np.array(stepper.x0)
            noise = self._noises(index, group) if row[7] else None
            stepper.advance(row, noise)
            self._check(stepper.state, index, {"state": before, "previous_x0": x0, "noise": noise}, conditions)
        raise NonFiniteError(
            "the diffusion made NaN or infinite latents, but not when it was run again; check the device"
        )

    def _check(self, after: Array, index: int, given: dict[str, Array | None], conditions: Array | None) -> None:
        """Raise NonFiniteError where the result of a step is not finite; ``given`` is what the step was given."""
        if np.isfinite(after).all():
            return
        inputs = {name: array for name, array in {**given, "condition": conditions}.items() if array is not None}
        inputs["row"] = self.schedule.rows[index].astype(np.float32)
        inputs.setdefault("noise", np.zeros_like(after))
        layers = self.locate(inputs)
        raise NonFiniteError(
            f"step {index + 1} of {self.schedule.steps} (timestep {self.schedule.timesteps[index]:g}) made NaN or "
            f"infinite latents{layers}; run the network in FP32, or keep these layers as FP32 islands"
        )

    def _blended(self, stepper: Stepper, state: State) -> FloatArray:
        """Walk with tiles of one state; each step sees what all tiles together made before."""
        now = self._first(state)
        x0: FloatArray = np.zeros_like(now)
        keeps_x0 = self.schedule.uses_history or self.correct is not None
        for index, row in enumerate(self.schedule.rows):
            after, clean = np.zeros_like(now), np.zeros_like(now) if keeps_x0 else None
            for group in self._groups():
                cut = [(slice(None), *(slice(s.start, s.start + s.size) for s in tile)) for tile in group]
                noise = np.stack([self._noise(index + 1, state, tile) for tile in group]) if row[7] else None
                condition = state.condition
                conditions = None if condition is None else np.stack([condition[at] for at in cut])
                before, history = np.stack([now[at] for at in cut]), np.stack([x0[at] for at in cut])
                stepper.load(before, conditions, history)
                stepper.advance(row, noise)
                made = stepper.state
                self._check(made, index, {"state": before, "previous_x0": history, "noise": noise}, conditions)
                _blend(after, made, group, cut)
                if clean is not None:
                    _blend(clean, stepper.x0, group, cut)
            if self.correct is not None and clean is not None:
                corrected = self.correct(clean, state)
                after += np.float32(row[5]) * (corrected - clean)
                clean = corrected
            now, x0 = after, x0 if clean is None else clean
            self.on_step()
        return now

    def _groups(self) -> Iterator[list[Tile]]:
        """Yield all tiles in batches of equal size; those that fill up the last one are run again."""
        tiles = [(row, column) for row in self.tiles.rows for column in self.tiles.columns]
        batches = -(-len(tiles) // self.batch)
        size = self.batch if self.is_batch_fixed else -(-len(tiles) // batches)
        for first in range(0, len(tiles), size):
            group = tiles[first : first + size]
            yield [*group, *group[-1:] * (size - len(group))]

    def _first(self, state: State) -> FloatArray:
        noise = self._noise(0, state)[None] if self.schedule.noise else None
        latent = None if state.latent is None else state.latent[None]
        first: FloatArray = self.schedule.first_state(latent, noise)[0]
        return first

    def _noises(self, index: int, group: Sequence[State]) -> FloatArray:
        """Return the noise that a step adds, ``(n, channels, h, w)``."""
        drawn = [self._noise(index + 1, state) for state in group]
        return np.stack(drawn) if len(drawn) > 1 else drawn[0][None]

    def _noise(self, stream: int, state: State, tile: Tile | None = None) -> FloatArray:
        """Return the noise of a stream for a whole state or a tile of it; tiles that overlap agree where they do."""
        row, column = tile or (None, None)
        top, h = (row.start, row.size) if row else (0, self.tiles.size[0])
        left, w = (column.start, column.size) if column else (0, self.tiles.size[1])
        return noise_field(self.seed, stream, (self.channels, h, w), top=top, left=left, sample=state.sample)


def _blend(target: FloatArray, made: Array, group: Sequence[Tile], cut: Sequence[tuple[slice, ...]]) -> None:
    """Add tiles ``(n, channels, h, w)`` with weights that sum to one at every place; repeated tiles count once."""
    seen: set[tuple[int, int]] = set()
    for values, (row, column), at in zip(made, group, cut, strict=True):
        if (row.start, column.start) not in seen:
            seen.add((row.start, column.start))
            target[at] += values * np.outer(span_weights(row), span_weights(column))


def _stacked(arrays: Sequence[FloatArray | None]) -> FloatArray | None:
    found = [array for array in arrays if array is not None]
    return np.stack(found) if found else None
