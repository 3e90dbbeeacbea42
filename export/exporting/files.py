"""What a file of weights is, told by its content, and its tensors read without running code."""

import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from edgesr.errors import ModelError, UsageError

_ALONE = "save the weights alone, torch.save(network.state_dict(), ...) or safetensors"
_AGAIN = "copy or download it again"
_INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")
_LONGEST_HEADER = 100_000_000
"""Bytes that the header of safetensors may have."""


def read_content(path: Path) -> Any:
    """Return what a checkpoint of PyTorch, a safetensors file or the index of several holds.

    The suffix does not matter. Raise UsageError where there is no file, ModelError for files that hold code or are
    none of these, which names what they are.
    """
    if path.is_dir():
        indices = sorted(path.glob(f"*{_INDEX}"))
        inside = f", e.g. {indices[0]}" if indices else ""
        raise UsageError(f"{path}: is a folder; name the file in it that holds the weights{inside}")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if path.name.endswith(_INDEX):
        return _shards(path)
    _refuse_others(path, start)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _LONGEST_HEADER:
        return _safetensors(path)
    if path.suffix == ".safetensors" and start[:2] not in (b"PK", b"\x80\x02"):
        raise ModelError(f"{path}: is no safetensors file, or one that was cut off; {_AGAIN}")
    if start[:2] != b"PK" and start[:1] != b"\x80":
        raise ModelError(f"{path}: is neither a checkpoint of PyTorch nor a safetensors file")
    return _torch_file(path)


def _refuse_others(path: Path, start: bytes) -> None:
    """Raise ModelError that names what lies there in place of weights."""
    text = start.lstrip().lower()
    if not start:
        raise ModelError(f"{path}: is empty; {_AGAIN}")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path}: is a Git LFS pointer, not the weights it stands for; run git lfs pull")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(
            f"{path}: is a web page, not weights; download the file itself, signed in where the site asks for it"
        )
    if path.suffix == ".onnx" or _is_onnx(start):
        raise ModelError(f"{path}: is an ONNX graph, not weights; make a package of it with edgesr pack")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if "model.json" in names:
            raise ModelError(f"{path}: is a model package already; edgesr run and build take it as it is")
        if not any(name.endswith("data.pkl") for name in names):
            raise ModelError(f"{path}: is an archive without weights of PyTorch; {_ALONE}")
        if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
            raise ModelError(f"{path}: is a TorchScript archive, which holds code that is not run; {_ALONE}")
    elif start.startswith(b"PK"):
        raise ModelError(f"{path}: is a checkpoint that was cut off; {_AGAIN}")


def _is_onnx(start: bytes) -> bool:
    """Tell whether a file begins as ONNX graphs do: the version of the format, then its maker or the graph."""
    return start[:1] == b"\x08" and 0 < start[1] < 32 and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")


def _shards(path: Path) -> dict[str, torch.Tensor]:
    try:
        places = json.loads(path.read_text("utf-8"))["weight_map"]
        names = sorted(set(places.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{path}: is no index of safetensors: it has no weight_map") from None
    state: dict[str, torch.Tensor] = {}
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(f"{path}: {name!r} is no name of a file beside it")
        if not (path.parent / name).is_file():
            raise ModelError(f"{path}: needs {name} beside it, which is missing; {_AGAIN}")
        state.update(_safetensors(path.parent / name, is_whole=False))
    missing = sorted(places.keys() - state.keys())
    if missing:
        raise ModelError(f"{path}: {len(missing)} tensors are in none of its files, e.g. {missing[0]}; {_AGAIN}")
    return state


def _safetensors(path: Path, *, is_whole: bool = True) -> Any:
    shard = _SHARD.search(path.name)
    if is_whole and shard and int(shard[2]) > 1:
        index = f"{path.name[: shard.start()]}{_INDEX}"
        raise ModelError(
            f"{path}: is one of {int(shard[2])} files of these weights; give {index}, which names them all"
        )
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ModelError(f"{path}: needs the package safetensors: pip install safetensors") from None
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        cut = f"; it was cut off, {_AGAIN}" if "incomplete" in str(error) else ""
        raise ModelError(f"{path}: is no safetensors file: {short(error)}{cut}") from None


def _torch_file(path: Path) -> Any:
    try:
        # Opened here, since PyTorch goes by the suffix.
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|Unsupported global:? (?:GLOBAL )?)\s*([\w.]+)", str(error))
        reason = (
            f"it holds code ({found[1]}), which is not run"
            if found
            else "it is no file of tensors alone, and nothing else is run"
        )
        raise ModelError(f"{path}: {reason}; {_ALONE}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, IndexError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: is no readable checkpoint of PyTorch: {short(error)}; {_AGAIN}") from None


def short(error: BaseException | None) -> str:
    """Return the message of an error as one line of at most 200 characters, its type where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
