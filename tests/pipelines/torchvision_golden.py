"""Run torchvision's own preprocessing, suppression and postprocessing and write what they give.

With torch and torchvision installed: ``python -m tests.pipelines.torchvision_golden`` renews
``tests/data/torchvision_labels.npz``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

PATH = Path(__file__).parents[1] / "data" / "torchvision_labels.npz"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

# Picture size, then how torchvision is asked; the names are those of edgesr's descriptor.
PRESETS: list[dict[str, Any]] = [
    {"size": (37, 53), "short": 32, "crop": 24, "interpolation": "bilinear"},
    {"size": (64, 41), "short": 27, "crop": 20, "interpolation": "bicubic"},
    {"size": (20, 31), "short": 29, "crop": 28, "interpolation": "bilinear"},
    {"size": (33, 47), "short": 26, "crop": 25, "interpolation": "nearest"},
]
SEGMENTATION: list[dict[str, Any]] = [{"size": (37, 53), "short": 25}, {"size": (61, 40), "short": 47}]
DETECTION: list[dict[str, Any]] = [
    {"size": (37, 53), "short": 40, "longest": 66, "multiple": 32},
    {"size": (64, 41), "short": 27, "longest": 35, "multiple": 16},
    {"size": (47, 47), "short": 31, "longest": 90, "multiple": 1},
]
PLAIN: list[dict[str, Any]] = [
    {"size": size, "exact": exact, "interpolation": interpolation, "antialias": antialias}
    for size, exact in (((37, 53), (24, 20)), ((15, 22), (29, 33)))
    for interpolation, antialias in (
        ("nearest", False),
        ("bilinear", False),
        ("bicubic", False),
        ("bilinear", True),
        ("bicubic", True),
    )
]
THRESHOLDS = (0.3, 0.5, 0.7)


def picture(size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw waves with noise, uint8 ``(H, W, 3)``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [np.sin(x * rng.uniform(0.1, 1.2) + y * rng.uniform(0.1, 1.2) + c) for c in range(3)]
    return np.clip(np.stack(waves, 2) * 100 + 128 + rng.normal(0, 25, (*size, 3)), 0, 255).astype(np.uint8)


def boxes(seed: int, n: int = 160) -> dict[str, np.ndarray]:
    """Draw boxes in clusters, with equal boxes, equal scores and boxes without area among them."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 100, (12, 2))[rng.integers(0, 12, n)] + rng.normal(0, 3, (n, 2))
    half = rng.uniform(2, 15, (n, 2))
    xyxy = np.concatenate([centres - half, centres + half], 1).astype(np.float32)
    xyxy[5], xyxy[17] = xyxy[4], xyxy[16]
    xyxy[30, 2:] = xyxy[30, :2]
    xyxy[31] = xyxy[30]
    conf = rng.uniform(0, 1, n).astype(np.float32)
    conf[17], conf[40:44] = conf[16], 0.5
    return {"xyxy": xyxy, "conf": conf, "cls": rng.integers(0, 4, n)}


def _presets(found: dict[str, np.ndarray]) -> None:
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification, SemanticSegmentation

    for i, case in enumerate(PRESETS):
        pixels = picture(case["size"], i)
        preset = ImageClassification(
            crop_size=case["crop"],
            resize_size=case["short"],
            interpolation=InterpolationMode(case["interpolation"]),
        )
        found[f"preset{i}_in"], found[f"preset{i}"] = pixels, preset(Image.fromarray(pixels)).numpy()
    for i, case in enumerate(SEGMENTATION):
        pixels = picture(case["size"], 20 + i)
        found[f"segmentation{i}_in"] = pixels
        found[f"segmentation{i}"] = SemanticSegmentation(resize_size=case["short"])(Image.fromarray(pixels)).numpy()


def _detection(found: dict[str, np.ndarray]) -> None:
    import torch
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    for i, case in enumerate(DETECTION):
        pixels = picture(case["size"], 40 + i)
        transform = GeneralizedRCNNTransform(
            case["short"], case["longest"], MEAN, STD, size_divisible=case["multiple"]
        ).eval()
        images, _ = transform([torch.from_numpy(pixels).permute(2, 0, 1).float() / 255])
        inside = boxes(60 + i)["xyxy"][:20]
        result = [{"boxes": torch.from_numpy(inside)}]
        back = transform.postprocess(result, images.image_sizes, [case["size"]])[0]["boxes"]
        found |= {f"detection{i}_in": pixels, f"detection{i}": images.tensors[0].numpy()}
        found |= {f"detection{i}_boxes_in": inside, f"detection{i}_boxes": back.numpy()}


def _plain(found: dict[str, np.ndarray]) -> None:
    import torch
    from torch.nn.functional import interpolate

    for i, case in enumerate(PLAIN):
        values = picture(case["size"], 80 + i).astype(np.float32) / np.float32(255)
        tensor = torch.from_numpy(values).permute(2, 0, 1)[None]
        options = {} if case["interpolation"] == "nearest" else {"align_corners": False, "antialias": case["antialias"]}
        found[f"plain{i}_in"] = values
        found[f"plain{i}"] = interpolate(tensor, case["exact"], mode=case["interpolation"], **options)[0].numpy()
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 2, (5, 9, 7)).astype(np.float32)
    large = interpolate(torch.from_numpy(logits)[None], (31, 45), mode="bilinear", align_corners=False)
    found |= {"logits_in": logits, "mask": large[0].argmax(0).numpy().astype(np.uint8)}
    found["mask_scores"] = large[0].softmax(0).amax(0).numpy()
    found["softmax"] = torch.from_numpy(logits[:, 0, 0]).softmax(0).numpy()


def _nms(found: dict[str, np.ndarray]) -> None:
    import torch
    from torchvision.ops import nms
    from torchvision.ops.boxes import _batched_nms_vanilla

    for seed in range(3):
        drawn = boxes(seed)
        found |= {f"nms{seed}_{name}": array for name, array in drawn.items()}
        xyxy, conf, cls = (torch.from_numpy(array) for array in drawn.values())
        for threshold in THRESHOLDS:
            found[f"nms{seed}_{threshold}"] = nms(xyxy, conf, threshold).numpy()
            found[f"nms{seed}_{threshold}_by_class"] = _batched_nms_vanilla(xyxy, conf, cls, threshold).numpy()


def main() -> None:
    """Write the file, with the versions that made it."""
    import PIL
    import torch
    import torchvision

    found: dict[str, np.ndarray] = {}
    for part in (_presets, _detection, _plain, _nms):
        part(found)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__}
    np.savez_compressed(PATH, versions=np.array(json.dumps(versions)), **found)


if __name__ == "__main__":
    main()
