"""What the host does between a restoration and a task, as nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesr.compile.join import Assembly
from edgesr.errors import UsageError
from edgesr.image.resize import resize as resized
from edgesr.model.descriptor import ModelDescriptor
from edgesr.pipelines.prepare import Placement, normalised, place
from edgesr.types import FloatArray


@dataclass(frozen=True)
class Between:
    """The output of ``first`` becomes the input of ``second``; ``placement`` is None where sizes stay as they are."""

    first: ModelDescriptor
    second: ModelDescriptor
    placement: Placement | None

    def add(self, add: Assembly, image: str) -> str:
        """Add the nodes behind the tensor ``image`` ``(N, C, H, W)`` and return what the second network takes."""
        low, high = self.first.output_range
        if (low, high) != (0.0, 1.0):
            shifted = add.node("Sub", [image, add.constant("between/low", float(low))], "between/shifted")
            image = add.node("Div", [shifted, add.constant("between/span", float(high - low))], "between/scaled")
        bounds = [add.constant(f"between/{name}", np.array(x, np.float32)) for name, x in (("zero", 0), ("one", 1))]
        image = add.node("Clip", [image, *bounds], "between/clipped")
        image = self._channels(add, image)
        image = self._resized(add, image)
        return self._normalised(add, image)

    def _channels(self, add: Assembly, image: str) -> str:
        first, second = self.first.input.color, self.second.input.color
        if first == second:
            return image
        if first == "grey":
            order = [0] * self.second.input_channels
        elif {first, second} == {"rgb", "bgr"}:
            order = [2, 1, 0]
        else:
            raise UsageError(
                f"model {self.second.name} takes {second}, {self.first.name} gives {first}; chain them without --fused"
            )
        return add.node("Gather", [image, add.constant("between/order", order)], "between/channels", axis=1)

    def _resized(self, add: Assembly, image: str) -> str:
        placement = self.placement
        if placement is None:
            return image
        c = self.second.input_channels
        if placement.resized != placement.picture and self._is_linear(placement):
            sizes = add.constant("between/sizes", [1, c, *placement.resized])
            image = add.node(
                "Resize", [image, "", "", sizes], "between/resized", mode="linear",
                coordinate_transformation_mode="half_pixel",
            )  # fmt: skip
        elif placement.resized != placement.picture:
            rows, columns = (
                self._weights(n, target) for n, target in zip(placement.picture, placement.resized, strict=True)
            )
            image = add.node("MatMul", [image, add.constant("between/columns", columns.T.copy())], "between/wide")
            image = add.node("MatMul", [add.constant("between/rows", rows), image], "between/resized")
        if placement.canvas != placement.resized:
            top, left = (-n for n in placement.offset)
            ends = (top + placement.canvas[0], left + placement.canvas[1])
            bounds = [
                add.constant(f"between/{name}", list(values))
                for name, values in (("starts", (top, left)), ("ends", ends), ("axes", (2, 3)))
            ]
            image = add.node("Slice", [image, *bounds], "between/cropped")
        return image

    def _is_linear(self, placement: Placement) -> bool:
        """Tell whether ONNX's linear Resize does it; antialias changes nothing of pictures that are enlarged."""
        rule = self.second.input.resize
        is_enlarged = all(b >= a for a, b in zip(placement.picture, placement.resized, strict=True))
        return rule is not None and rule.interpolation == "bilinear" and (is_enlarged or not rule.antialias)

    def _weights(self, n: int, target: int) -> FloatArray:
        """Return the host's own filter along one axis, float32 ``(target, n)``."""
        rule = self.second.input.resize
        assert rule is not None
        unit = np.eye(n, dtype=np.float32)[..., np.newaxis]
        return resized(unit, target, n, interpolation=rule.interpolation, antialias=rule.antialias)[..., 0]

    def _normalised(self, add: Assembly, image: str) -> str:
        """Multiply and add once; both are taken from what the host does to black and to white."""
        c, expects = self.second.input_channels, self.second.input
        black, white = (_of(normalised(np.full((1, 1, c), x, np.float32), expects)) for x in (0, 1))
        if np.all(black == 0) and np.all(white == 1):
            return image
        factor = add.constant("between/factor", (white - black).reshape(1, c, 1, 1).astype(np.float32))
        offset = add.constant("between/offset", black.reshape(1, c, 1, 1).astype(np.float32))
        return add.node("Add", [add.node("Mul", [image, factor], "between/times"), offset], "between/normalised")


def between(first: ModelDescriptor, second: ModelDescriptor, size: tuple[int, int] | None) -> Between:
    """Say what happens between two networks for pictures of ``size``, None for any; raise UsageError for the rest."""
    needs = second.size
    if size is None:
        if (
            second.input.resize is not None
            or second.input.crop is not None
            or needs.multiple > 1
            or needs.fixed is not None
        ):
            raise UsageError(
                f"model {second.name} brings every picture to its own size; say with --size HxW how large pictures "
                f"before {first.name} are"
            )
        if first.size.multiple > 1:
            raise UsageError(
                f"model {first.name} takes sides that are multiples of {first.size.multiple}; say with --size HxW how "
                "large pictures are"
            )
        return Between(first, second, None)
    enlarged = (size[0] * first.scale, size[1] * first.scale)
    placement = place(second, *enlarged)
    shown = f"{enlarged[0]}x{enlarged[1]}"
    if placement.resized != enlarged and second.task == "detect":
        raise UsageError(
            f"model {second.name} resizes the {shown} of {first.name} to {placement.resized[0]}x"
            f"{placement.resized[1]}, which no fused graph tells its boxes; pack it with --resize none, or say another "
            "--size"
        )
    is_cropped = placement.canvas[0] <= placement.resized[0] and placement.canvas[1] <= placement.resized[1]
    if placement.canvas != placement.resized and not (is_cropped and second.task == "classify"):
        raise UsageError(
            f"model {second.name} pads the {shown} of {first.name} to {placement.canvas[0]}x{placement.canvas[1]}; say "
            "a --size whose enlargement it takes as it is"
        )
    return Between(first, second, placement)


def _of(values: FloatArray) -> npt.NDArray[np.float64]:
    return values.astype(np.float64).reshape(-1)
