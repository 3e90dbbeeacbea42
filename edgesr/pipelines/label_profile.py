"""The shapes that TensorRT compiles a labelling network for: the one size that its package brings pictures to."""

from __future__ import annotations

from edgesr.compile.shapes import Profile, ShapeRange
from edgesr.errors import BuildError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.label_rules import NETWORK, REGIONS
from edgesr.model.onnx_file import read_graph
from edgesr.model.package import ModelPackage


def label_profile(package: ModelPackage, part: str = NETWORK) -> Profile:
    """Return the shapes of dynamic inputs, nothing where all are fixed; raise BuildError for one without a fixed size.

    A network that takes any size is compiled for the one that every picture is resized, padded or cropped to, the
    second network of a two-stage detector for up to as many regions as it may get.
    """
    descriptor = package.descriptor
    image = descriptor.parts[NETWORK].inputs["image"]
    proposals = descriptor.prediction.proposals
    profile = {}
    for tensor in read_graph(package.part_path(part)).inputs:
        shape = tensor.shape
        if shape is not None and all(n > 0 for n in shape):
            continue
        if part == REGIONS and proposals is not None and shape is not None and all(n > 0 for n in shape[1:]):
            counts = (1, max(1, proposals.most // 4), proposals.most)
            profile[tensor.name] = ShapeRange(*((count, *shape[1:]) for count in counts))
            continue
        size = canvas(descriptor)
        is_picture = shape is not None and len(shape) == 4 and tensor.name == image
        if is_picture and size is None:
            raise BuildError(
                f"model {descriptor.name}: its input {tensor.name!r} has no fixed size, and TensorRT compiles it "
                "for one; export or pack it with --resize exact:HxW, or pack it behind a restoration, A+B, with "
                "--size HxW"
            )
        if not is_picture or size is None:
            raise BuildError(
                f"model {descriptor.name}: its input {tensor.name!r} has no fixed size, and TensorRT needs one "
                "here; export the network with a fixed size"
            )
        c = descriptor.input_channels
        known = (1, c, *size) if descriptor.input.layout == "NCHW" else (1, *size, c)
        profile[tensor.name] = ShapeRange(known, known, known)
    return profile


def canvas(descriptor: ModelDescriptor) -> tuple[int, int] | None:
    """Return the ``(height, width)`` that every picture gets before the network, None where pictures decide it."""
    expects, m = descriptor.input, descriptor.size.multiple
    size = descriptor.size.fixed or expects.crop
    if size is None and expects.resize is not None and expects.resize.rule in ("exact", "letterbox"):
        size = (expects.resize.size[0], expects.resize.size[1])
    return None if size is None else (-(-size[0] // m) * m, -(-size[1] // m) * m)
