"""What is in an engine file: its header and record without TensorRT, its tensors, memory and layers with it.

``python -m edgesr.compile.inspection ENGINE ANSWER`` is the process that loads an engine: TensorRT may crash on a
damaged one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from edgesr.compile.build_process import Ended, child_environment
from edgesr.compile.proof import count_layers, layer_types, told_layers
from edgesr.engines.cuda import Device
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.messages import explain, find
from edgesr.engines.plan import PLAN_TAG, read_plan_header
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_context import activation_bytes
from edgesr.engines.trt_tensors import read_profiles, read_tensors
from edgesr.errors import BackendError, EdgesrError, ModelError
from edgesr.model.content import file_sha256

SUFFIXES = (".engine", ".plan", ".trt")
_ELSEWHERE = ("other-gpu", "other-version", "unsupported-gpu")
_NAME = "TensorRT engine"
_UNTOLD = "its layers tell no types, as those of TensorRT 8 with dynamic shapes and of engines built without detail"

Spawn: TypeAlias = Callable[[Path, Path], Ended]
"""Loads an engine in a process of its own and lets it write its answer; tests put another one in its place."""


def is_engine(path: Path) -> bool:
    """Tell whether a file is an engine, by its first bytes or else its name."""
    try:
        with path.open("rb") as file:
            return file.read(len(PLAN_TAG)) == PLAN_TAG or path.suffix.lower() in SUFFIXES
    except OSError:
        return path.suffix.lower() in SUFFIXES and not path.is_dir()


def describe_engine(path: Path, *, spawn: Spawn | None = None) -> dict[str, Any]:
    """Return JSON data: what the file and the record beside it say and, where TensorRT can load it, what is in it.

    ``runs_here`` is true, false, or None where that is not known, and ``notes`` say why and what to do. Raises
    ModelError for a damaged file and for one that is no engine.
    """
    header = read_plan_header(path)
    document: dict[str, Any] = {
        "kind": _NAME,
        "file": path.name,
        "bytes": path.stat().st_size,
        "tensorrt": header.version_text,
        "runs_here": None,
        "notes": [],
    }
    record = _record(path)
    if record is not None:
        document["record"] = record
    else:
        document["notes"].append(
            f"no record {path.with_suffix('.json').name} beside it: damage shows when it is loaded"
        )
    try:
        api = TensorRt.load()
    except BackendError as error:
        document["notes"].append(f"its layers are not listed: {error}")
        return document
    if not header.is_from(api.version):
        document["runs_here"] = False
        document["notes"].append(
            f"it was built by TensorRT {header.version_text}, here is {api.version_text}: build it again on this "
            "machine with `edgesr build`, engines do not travel"
        )
        return document
    loaded = _loaded(path, spawn or _spawn)
    document["notes"] += loaded.pop("notes", [])
    return {**document, **loaded}


def inspect_loaded(api: TensorRt, path: Path) -> dict[str, Any]:
    """Load an engine on the current GPU and return what it says about itself; raise ModelError for a damaged one."""
    with api.log.collect() as lines:
        try:
            runtime = api.runtime()
        except BackendError as error:
            return {"runs_here": False, "notes": [f"its layers are not listed: {error}"]}
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            reason = lines.reason()
            known = find(reason)
            if known is not None and known.id in _ELSEWHERE:
                return {"runs_here": False, "notes": [explain(reason)]}
            raise ModelError(f"{path.name}: TensorRT {api.version_text} cannot load it: {explain(reason)}")
        inputs, outputs = read_tensors(api, engine, path.name)
        profiles = read_profiles(engine, inputs)
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(api.trt.LayerInformationFormat.JSON)
        told = count_layers(text)
        return {
            "runs_here": True,
            "inputs": [_tensor(spec) for spec in inputs.values()],
            "outputs": [_tensor(spec) for spec in outputs.values()],
            "profiles": [
                {name: dict(zip(("least", "best", "most"), shapes, strict=True)) for name, shapes in profile.items()}
                for profile in profiles
                if profile
            ],
            "activation_bytes": activation_bytes(engine),
            "precision": {**told.counts, "untold": told.unknown},
            "layers": read_layers(text),
            "notes": []
            if told.is_told
            else ["its layers tell no types, as TensorRT 8 for dynamic shapes and engines without detail do"],
        }


def read_layers(text: str) -> list[dict[str, Any]]:
    """Return name, type and types of each layer from the inspector's JSON, of any version from 8.6 to 11."""
    return [{"name": told} if isinstance(told, str) else _layer(told) for told in told_layers(text)]


def _layer(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(told.get("Name", "")),
        "type": str(told.get("LayerType", "")),
        "inputs": list(layer_types(told, "Inputs")),
        "outputs": list(layer_types(told, "Outputs")),
        "onnx": str(told.get("Metadata", "")),
    }


def _tensor(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "dtype": str(spec.dtype), "shape": list(spec.shape)}


def _record(path: Path) -> Mapping[str, Any] | None:
    """Return the record beside an engine; raise ModelError where the engine is not the one that it tells of."""
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        return None
    if file_sha256(path) != record["sha256"]:
        raise ModelError(
            f"{path.name} is damaged: its content is not what {path.with_suffix('.json').name} records; build it again "
            "with `edgesr build`"
        )
    return record


def _loaded(path: Path, spawn: Spawn) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        target = Path(folder) / "answer.json"
        ended = spawn(path, target)
        try:
            answer: dict[str, Any] = json.loads(target.read_text("utf-8"))
        except (OSError, ValueError):
            missing = why_no_gpu()
            if missing:
                return {"runs_here": False, "notes": [f"its layers are not listed: {missing}"]}
            last = next((line.strip() for line in reversed(ended.text.splitlines()) if line.strip()), "it said nothing")
            raise ModelError(
                f"{path.name}: TensorRT crashed as it loaded the file (code {ended.code}: {explain(last)}); it is "
                "damaged or of another GPU: build it again with `edgesr build`"
            ) from None
    if "error" in answer:
        raise ModelError(str(answer["error"]))
    return answer


def why_no_gpu() -> str:
    """Say why no GPU answers, nothing where one does; TensorRT 8.6 itself crashes without one."""
    try:
        Device(CudaRuntime.load())
    except BackendError as error:
        return str(error)
    return ""


def _spawn(path: Path, target: Path) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "edgesr.compile.inspection", str(path), str(target)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=child_environment(),
        check=False,
    )
    return Ended(done.returncode, done.stderr[-4000:])


def main(path: Path, target: Path) -> None:
    """Inspect an engine and leave the answer, or why there is none."""
    try:
        answer = inspect_loaded(TensorRt.load(), path)
    except EdgesrError as error:
        answer = {"error": str(error)}
    target.write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
