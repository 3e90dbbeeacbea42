"""FastViT's attention in FP16, whose fusion in ONNX Runtime 1.31 takes FP16 for FP32 and fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgesr.engines import open_backend

TOKENS, HEADS, WIDTH = 4, 2, 4
CHANNELS = HEADS * WIDTH


def test_attention_in_fp16_loads_and_gives_what_fp32_gives(tmp_path: Path) -> None:
    image = np.random.default_rng(1).standard_normal((1, CHANNELS, 2, 2)).astype(np.float32)
    found = {}
    for kind in (TensorProto.FLOAT, TensorProto.FLOAT16):
        backend = open_backend("cpu", threads=1)
        engine = backend.load(attention(tmp_path / f"{kind}.onnx", kind))
        buffer = backend.empty(image.shape, image.dtype)
        buffer.copy_from(image)
        found[kind] = np.array(engine.run({"image": buffer})["y"].numpy())
        engine.close()
        backend.close()
    np.testing.assert_allclose(found[TensorProto.FLOAT16], found[TensorProto.FLOAT], atol=0.02)
    assert found[TensorProto.FLOAT].std() > 0.1


def attention(path: Path, kind: int) -> Path:
    """Write the attention of a FastViT block as PyTorch exports it, with the softmax in FP32: ``(1, 8, 2, 2)``."""
    rng, dtype = np.random.default_rng(0), helper.tensor_dtype_to_np_dtype(kind)
    floats = {
        "qkv": rng.standard_normal((CHANNELS, 3 * CHANNELS)) * 0.3,
        "scale": np.array([WIDTH**-0.25]),
        "proj": rng.standard_normal((CHANNELS, CHANNELS)),
        "bias": np.zeros(CHANNELS),
    }
    sizes = {
        "columns": [1, CHANNELS, TOKENS],
        "heads": [1, TOKENS, 3, HEADS, WIDTH],
        "rows": [TOKENS, CHANNELS],
        "tokens": [1, TOKENS, CHANNELS],
        "square": [1, CHANNELS, 2, 2],
        **{str(n): [n] for n in range(4)},
    }
    weights = {name: values.astype(dtype) for name, values in floats.items()}
    weights |= {name: np.array(values, np.int64) for name, values in sizes.items()}
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["x"], to=kind),
        node("Reshape", ["x", "columns"], ["flat"], allowzero=1),
        node("Transpose", ["flat"], ["sequence"], perm=[0, 2, 1]),
        node("MatMul", ["sequence", "qkv"], ["linear"]),
        node("Reshape", ["linear", "heads"], ["view"], allowzero=1),
    ]
    for i, role in enumerate("qkv"):
        nodes += [
            node("Slice", ["view", str(i), str(i + 1), "2"], [f"{role}_cut"]),
            node("Transpose", [f"{role}_cut"], [f"{role}_turned"], perm=[2, 0, 3, 1, 4]),
            node("Squeeze", [f"{role}_turned", "0"], [role]),
        ]
    nodes += [
        node("Transpose", ["k"], ["k_columns"], perm=[0, 1, 3, 2]),
        node("Mul", ["k_columns", "scale"], ["k_scaled"]),
        node("Mul", ["q", "scale"], ["q_scaled"]),
        node("MatMul", ["q_scaled", "k_scaled"], ["alike"]),
        node("Cast", ["alike"], ["alike_fp32"], to=TensorProto.FLOAT),
        node("Softmax", ["alike_fp32"], ["share_fp32"], axis=-1),
        node("Cast", ["share_fp32"], ["share"], to=kind),
        node("MatMul", ["share", "v"], ["mixed"]),
        node("Transpose", ["mixed"], ["mixed_rows"], perm=[0, 2, 1, 3]),
        node("Reshape", ["mixed_rows", "rows"], ["gemm_in"], allowzero=0),
        node("Gemm", ["gemm_in", "proj", "bias"], ["gemm_out"]),
        node("Reshape", ["gemm_out", "tokens"], ["out"], allowzero=0),
        node("Transpose", ["out"], ["out_columns"], perm=[0, 2, 1]),
        node("Reshape", ["out_columns", "square"], ["picture"], allowzero=1),
        node("Cast", ["picture"], ["y"], to=TensorProto.FLOAT),
    ]
    face = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, CHANNELS, 2, 2]) for name in ("image", "y")]
    initial = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "attention", face[:1], face[1:], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
