"""The TensorRT backend on the doubles of TensorRT and CUDA, and plans built by them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_engine import TrtEngine
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import Tensorrt

Profile = Mapping[str, Sequence[Sequence[int]]]
WIDE = (1, 16, 1024)


class DoubleBackend(TrtBackend):
    """TrtBackend on the doubles; an ONNX file is built into an engine for any size before it is loaded."""

    def __init__(self, version: str, *, fake: FakeCudart | None = None, **options: Any) -> None:
        self.fake = fake or FakeCudart()
        self.double = Tensorrt(version, self.fake)
        self.building = threading.Lock()
        self.api = TensorRt(self.double.module)
        self.cuda = CudaRuntime(self.fake, "fake")
        super().__init__(tensorrt=self.api, cuda=self.cuda, **options)

    def load(self, path: Path) -> TrtEngine:
        plan = path.with_suffix(".engine")
        with self.building:
            if path.suffix == ".onnx" and path.exists() and not plan.exists():
                build(self.double, path, plan)
        return super().load(plan if plan.exists() else path)

    def check(self) -> None:
        """Close, and fail on anything that the doubles found wrong or left behind."""
        self.close()
        if self.fake.objects or self.fake.memory.live:
            gc.collect()
        self.fake.check()


def build(
    double: Tensorrt,
    onnx: Path,
    plan: Path,
    *profiles: Profile,
    flags: Sequence[str] = (),
    verbosity: str = "LAYER_NAMES_ONLY",
) -> bool:
    """Build a plan through the double's own interface; without ``profiles`` for any size."""
    trt, api = double.module, TensorRt(double.module)
    builder = trt.Builder(api.log.logger)
    explicit = api.flag("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, api.log.logger)
    if not parser.parse(onnx.read_bytes(), str(onnx)):
        return False
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.__members__[verbosity]
    for flag in flags:
        config.set_flag(api.require("BuilderFlag", flag, "this test"))
    for shapes in profiles or [wide(network)]:
        profile = builder.create_optimization_profile()
        for name, (least, best, most) in shapes.items():
            profile.set_shape(name, least, best, most)
        if shapes:
            config.add_optimization_profile(profile)
    serialized = builder.build_serialized_network(network, config)
    assert serialized is not None
    plan.write_bytes(serialized)
    return True


def wide(network: Any) -> dict[str, list[tuple[int, ...]]]:
    """A profile that takes 1 to 1024 in every dynamic dimension."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    return {t.name: [tuple(n if d < 0 else d for d in t.shape) for n in WIDE] for t in tensors if -1 in tuple(t.shape)}
