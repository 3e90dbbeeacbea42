"""Trained weights from files that strangers wrote: read without running code, unwrapped, and loaded key by key."""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgesr.errors import ModelError, UsageError
from export.exporting.files import read_content

State = dict[str, Tensor]

CONTAINERS = (
    "params_ema",
    "model_ema",
    "ema",
    "averaged",
    "params",
    "state_dict_ema",
    "state_dict",
    "model_state_dict",
    "net_sr",
    "net_g",
    "netG",
    "generator",
    "g_ema",
    "model",
    "network",
    "module",
)
"""Entries that hold the weights inside a training checkpoint, the averaged ones first."""
TASK_CONTAINERS = ("net_cls", "net_seg", "net_det", *(name for name in CONTAINERS if name != "net_sr"))
"""The same for networks that label pictures, which SR4IR keeps beside the one in front of them."""
_ATTRIBUTE = "model."
"""Prefix of the network within a module of Lightning."""
_BESIDE = ("loss", "criterion", "perceptual", "metric", "lpips", "disc", "netD", "net_d", "vgg", "teacher", "ema")
"""How names begin that stand beside it."""
WRAPPERS = ("module.", "_orig_mod.", "net_g.", "netG.", "generator.", "network.", "net_sr.", _ATTRIBUTE)
"""Prefixes that DataParallel, torch.compile and training frameworks put before every key."""
TASK_WRAPPERS = (
    *(name for name in WRAPPERS if name not in ("net_sr.", _ATTRIBUTE)),
    *("net_cls.", "net_seg.", "net_det.", _ATTRIBUTE, "net."),
)
"""The same for networks that label pictures, with those of Lightning's modules."""
_SHOWN = 4


def read_weights(
    path: str | Path,
    *,
    key: str | None = None,
    containers: Collection[str] = CONTAINERS,
    wrappers: Collection[str] = WRAPPERS,
) -> tuple[State, str]:
    """Return the tensors of a ``.pth``, ``.pt``, ``.ckpt`` or ``.safetensors`` file as float32, and where they lay.

    The index of sharded safetensors, ``NAME.safetensors.index.json``, stands for all its files. Nothing in a file is
    run. ``key`` names the entry that holds the weights, where the usual names do not find it.
    Raise ModelError for files that hold code, no weights, or values that are not finite.
    """
    path = Path(path)
    state, place = _tensors(read_content(path), path, key, containers)
    state = {name: t.float() if t.is_floating_point() else t for name, t in _without_wrappers(state, wrappers).items()}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: {name} has NaN or infinite values; the training broke, take an earlier file")
    return state, place


def load_into(network: nn.Module, state: Mapping[str, Tensor], *, source: str, what: str, ignored: str = "") -> None:
    """Load weights in place; raise ModelError that says which keys differ. Keys that match ``ignored`` are optional."""
    own = network.state_dict()
    needless = re.compile(ignored) if ignored else None
    computed = {name for name in own if name.endswith("num_batches_tracked") or (needless and needless.search(name))}
    given = {n: t for n, t in state.items() if n in own or not (needless and needless.search(n))}
    problems = [
        _listed("missing", own.keys() - given.keys() - computed),
        _listed("unknown", given.keys() - own.keys()),
        _listed(
            "of another shape",
            {n for n in given.keys() & own.keys() if given[n].shape != own[n].shape},
            lambda n: f"{n}: {list(given[n].shape)} instead of {list(own[n].shape)}",
        ),
        _listed(
            "of another type",
            {n for n in given.keys() & own.keys() if _kind(given[n]) != _kind(own[n])},
            lambda n: f"{n}: {_named(given[n])} instead of {_named(own[n])}",
        ),
    ]
    if any(problems):
        raise ModelError(f"{source}: these are no weights of {what}: {'; '.join(p for p in problems if p)}")
    network.load_state_dict(given, strict=False)


def renamed(state: Mapping[str, Tensor], rules: Collection[tuple[str, str]]) -> State:
    """Apply regular expressions ``(pattern, replacement)`` to every key; the first that matches counts."""
    result = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            changed, count = re.subn(pattern, replacement, name)
            if count:
                name = changed
                break
        result[name] = tensor
    return result


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many different numbers the first group of a pattern takes among the keys."""
    return len({m[1] for name in state if (m := re.match(pattern, name))})


def tensor(state: Mapping[str, Tensor], name: str, *, source: str, what: str) -> Tensor:
    """Return the tensor that tells a size of the network; raise ModelError when it is missing."""
    if name not in state:
        raise ModelError(
            f"{source}: these are no weights of {what}: {name} is missing, the file has {_listed('keys', state.keys())}"
        )
    return state[name]


def _tensors(content: Any, path: Path, key: str | None, containers: Collection[str]) -> tuple[State, str]:
    """Find the mapping of names to tensors, as deep as containers nest."""
    place: list[str] = []
    if key is not None:
        if not isinstance(content, Mapping) or key not in content:
            known = ", ".join(map(str, content)) if isinstance(content, Mapping) else "no keys"
            raise UsageError(f"--key {key}: {path} has {known[:200]}")
        content, place = content[key], [key]
    while isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        name = next((n for n in containers if isinstance(content.get(n), Mapping)), None)
        if name is None:
            break
        content = content[name]
        place.append(name)
    state = {str(n): t for n, t in content.items() if isinstance(t, Tensor)} if isinstance(content, Mapping) else {}
    if not state:
        raise ModelError(f"{path}: holds no named tensors; give the entry that holds the weights with --key")
    return state, ".".join(place) or "the file itself"


def _without_wrappers(state: State, wrappers: Collection[str]) -> State:
    state = {name: tensor for name, tensor in state.items() if name != "n_averaged"}
    for _ in range(len(wrappers)):
        found = next((prefix for prefix in wrappers if _wraps(prefix, state, wrappers)), None)
        if found is None:
            break
        # A checkpoint of a whole GAN holds a discriminator and losses beside the generator.
        state = {name.removeprefix(found): tensor for name, tensor in state.items() if name.startswith(found)}
    return state


def _wraps(prefix: str, names: Collection[str], wrappers: Collection[str]) -> bool:
    """Tell a wrapper from a part of the network that is called so: ``model.0.weight``, ``model.`` beside others."""
    inside = [name for name in names if name.startswith(prefix)]
    if prefix != _ATTRIBUTE or wrappers is TASK_WRAPPERS:
        return bool(inside)
    others = [name for name in names if not name.startswith((prefix, *_BESIDE))]
    return bool(inside) and not others and not any(name[len(prefix) :][:1].isdigit() for name in inside)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _named(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _listed(what: str, names: Collection[str], show: Callable[[str], str] = str) -> str:
    if not names:
        return ""
    listed = ", ".join(show(name) for name in sorted(names)[:_SHOWN])
    return f"{len(names)} {what} ({listed}{', ...' if len(names) > _SHOWN else ''})"
