"""One restoration network with the buffers to run it: pixels in [0, 1] go in and come out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from edgesr.engines.base import Backend, Buffer, Engine
from edgesr.errors import BackendError, ModelError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.package import ModelPackage
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray

NETWORK = "network"
_SHAPES_KEPT = 4


@dataclass(frozen=True)
class Settings:
    """What one run needs beside the picture: a value for every control, and the input's grey-level step in [0, 1]."""

    controls: Mapping[str, tuple[float, ...]]
    quantum: float
    with_scale: bool = False
    further: tuple[str, ...] = ()
    """Roles of the further outputs that are wanted, such as ``parsing``."""


class RestoreNetwork:
    """The ``network`` part of a restoration package, loaded on a backend, from ``file`` where it needs an own form."""

    def __init__(self, package: ModelPackage, backend: Backend, file: Path | None = None) -> None:
        self.descriptor: ModelDescriptor = package.descriptor
        self.backend = backend
        self.part = self.descriptor.parts[NETWORK]
        self.engine: Engine = backend.load(file or package.part_path(NETWORK))
        self.lock = threading.Lock()
        self._free: list[Workspace] = []
        self._is_closed = False
        self._check_roles()

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Lend a set of buffers for one picture. Safe from any thread."""
        with self.lock:
            if self._is_closed:
                raise BackendError(f"model {self.descriptor.name} is closed; load it again")
            lent = self._free.pop() if self._free else Workspace(self)
        try:
            yield lent
        finally:
            with self.lock:
                self._free.append(lent)

    @property
    def further(self) -> tuple[str, ...]:
        """Roles of the outputs beside the picture and its error scale."""
        return tuple(role for role in self.part.outputs if role not in ("image", "scale"))

    def channels_of(self, role: str) -> int:
        """Return the number of channels of a further output; raise ModelError for one that is no picture."""
        spec = self.engine.outputs[self.part.outputs[role]]
        count = spec.shape[1 if self.descriptor.input.layout == "NCHW" else -1] if len(spec.shape) == 4 else -1
        if count < 1:
            raise ModelError(
                f"model {self.descriptor.name}: its output {role!r} has shape {spec.shape}, not that of pictures with "
                "a known number of channels"
            )
        return count

    def close(self) -> None:
        """Free the engine and all buffers."""
        with self.lock:
            self._is_closed = True
            self._free.clear()
            self.engine.close()

    def _check_roles(self) -> None:
        for kind, roles, tensors in (
            ("input", self.part.inputs, self.engine.inputs),
            ("output", self.part.outputs, self.engine.outputs),
        ):
            absent = [tensor for tensor in roles.values() if tensor not in tensors]
            if absent or "image" not in roles:
                raise ModelError(
                    f"model {self.descriptor.name}: model.json names the {kind} {(absent or ['image'])[0]!r}, "
                    f"the network has {', '.join(tensors)}"
                )


@dataclass
class _ShapeBuffers:
    staging: Array
    inputs: dict[str, Buffer]
    outputs: dict[str, Buffer]


@dataclass
class Workspace:
    """Buffers for one picture at a time, allocated once per tile shape."""

    network: RestoreNetwork
    _shapes: OrderedDict[tuple[int, int, tuple[str, ...]], _ShapeBuffers] = field(default_factory=OrderedDict)

    def run(self, pixels: FloatArray, settings: Settings, timings: Timings) -> FloatArray:
        """Run the network on float32 ``(h, w, c)`` in [0, 1], in the network's colour order.

        Returns float32 ``(h * scale, w * scale, c)`` in [0, 1], with the predicted error scale as one more channel
        when ``settings.with_scale``, and the channels of ``settings.further`` behind; valid until the next run of this
        workspace.
        """
        outputs = self._run(pixels, settings, timings)
        start = perf_counter()
        result = self._fetch(outputs, settings)
        timings.d2h += perf_counter() - start
        return result

    def run_embedded(self, pixels: Array, settings: Settings, timings: Timings) -> Array:
        """Run a network that takes and gives pictures itself on ``(h, w, c)`` of its own type.

        Returns ``(h * scale, w * scale, c)`` of that type, valid until the next run of this workspace.
        """
        outputs = self._run(pixels, settings, timings)
        start = perf_counter()
        picture: Array = outputs[self.network.part.outputs["image"]].numpy()[0]
        timings.d2h += perf_counter() - start
        return picture

    def _run(self, pixels: Array, settings: Settings, timings: Timings) -> dict[str, Buffer]:
        network = self.network
        start = perf_counter()
        buffers = self._buffers(pixels.shape[0], pixels.shape[1], settings.further)
        if pixels.dtype.kind == "f":
            self._stage(pixels, buffers.staging)
        else:
            np.copyto(buffers.staging[0], pixels)
        staged = perf_counter()
        values = {**settings.controls, "quantum": (settings.quantum,)}
        for role, tensor in network.part.inputs.items():
            if role == "image":
                buffers.inputs[tensor].copy_from(buffers.staging)
            else:
                spec = network.engine.inputs[tensor]
                buffers.inputs[tensor].copy_from(
                    np.asarray(values[role], spec.dtype).reshape(buffers.inputs[tensor].shape)
                )
        copied = perf_counter()
        with network.lock:
            network.engine.run(buffers.inputs, buffers.outputs)
        for buffer in buffers.outputs.values():
            buffer.wait()
        ran = perf_counter()
        timings.pre += staged - start
        timings.h2d += copied - staged
        timings.infer += ran - copied
        return buffers.outputs

    def prepare(self, h: int, w: int, further: tuple[str, ...] = ()) -> None:
        """Allocate the buffers for pictures of this size and the ``further`` outputs that are wanted."""
        self._buffers(h, w, further)

    def _buffers(self, h: int, w: int, further: tuple[str, ...]) -> _ShapeBuffers:
        if (h, w, further) in self._shapes:
            self._shapes.move_to_end((h, w, further))
            return self._shapes[h, w, further]
        network, descriptor = self.network, self.network.descriptor
        engine, part, empty = network.engine, network.part, network.backend.empty
        s = descriptor.scale
        sizes = {"image": (descriptor.input_channels, h, w)}
        inputs = {}
        for role, tensor in part.inputs.items():
            spec = engine.inputs[tensor]
            shape = self._shape(*sizes[role]) if role in sizes else tuple(max(n, 1) for n in spec.shape)
            inputs[tensor] = empty(shape, spec.dtype)
        outputs = {}
        for role, tensor in part.outputs.items():
            if role in ("image", "scale", *further):
                known = {"image": descriptor.output_channels, "scale": 1}
                channels = known[role] if role in known else network.channels_of(role)
                outputs[tensor] = empty(self._shape(channels, h * s, w * s), engine.outputs[tensor].dtype)
        image = inputs[part.inputs["image"]]
        created = _ShapeBuffers(np.empty(image.shape, image.dtype), inputs, outputs)
        self._shapes[h, w, further] = created
        if len(self._shapes) > _SHAPES_KEPT:
            self._shapes.popitem(last=False)
        return created

    def _shape(self, c: int, h: int, w: int) -> tuple[int, int, int, int]:
        return (1, c, h, w) if self.network.descriptor.input.layout == "NCHW" else (1, h, w, c)

    def _stage(self, pixels: FloatArray, staging: Array) -> None:
        """Write ``pixels`` into ``staging`` with the layout, range, mean and std that the network was trained with."""
        expects = self.network.descriptor.input
        low, high = expects.range
        values: Array = pixels
        if (low, high) != (0.0, 1.0):
            values = values * np.float32(high - low) + np.float32(low)
        if expects.mean:
            values = values - np.asarray(expects.mean, np.float32)
        if expects.std:
            values = values / np.asarray(expects.std, np.float32)
        if staging.dtype.kind == "u":
            values = np.rint(values)
        target = staging[0].transpose(1, 2, 0) if expects.layout == "NCHW" else staging[0]
        np.copyto(target, values, casting="unsafe")

    def _fetch(self, outputs: Mapping[str, Buffer], settings: Settings) -> FloatArray:
        network, descriptor = self.network, self.network.descriptor
        names = network.part.outputs
        image = self._channels_last(outputs[names["image"]])
        low, high = descriptor.output_range
        if (low, high) != (0.0, 1.0):
            image = np.multiply(image - np.float32(low), np.float32(1.0 / (high - low)), dtype=np.float32)
        if not np.isfinite(image.sum()):
            raise BackendError(
                f"model {descriptor.name} produced NaN or infinite pixels; if this is an FP16 model, use its FP32 form"
            )
        if not settings.with_scale and not settings.further:
            return image
        parts = [image]
        if settings.with_scale:
            scale = self._channels_last(outputs[names["scale"]])
            parts.append(scale if descriptor.embedded_io else scale * np.float32(1.0 / (high - low)))
        parts += [self._channels_last(outputs[names[role]]) for role in settings.further]
        return np.concatenate(parts, axis=2)

    def _channels_last(self, buffer: Buffer) -> FloatArray:
        array = buffer.numpy()[0]
        if self.network.descriptor.input.layout == "NCHW":
            array = array.transpose(1, 2, 0)
        result: FloatArray = array.astype(np.float32, copy=False)
        return result
