"""What measuring a family consists of, through the commands that a user has."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgesr.cli import main as edgesr
from edgesr.pipelines.load import load
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.test_tensorrt import Machine

DOUBLES = {major: next(v for v in VERSIONS if v.split(".")[0] == major) for major in ("8", "10", "11")}
"""One double of each major version of TensorRT."""
_EXPORT = Path(__file__).parents[2] / "export"
_ENDED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a command that a signal ended: it says so by them, having caught the signal itself."""
Rows = dict[str, Any]
Said = Callable[[str], None]


def digest(files: Collection[str]) -> str:
    """Return the sha256 of files under ``export/``: without those architectures a measurement says nothing."""
    return hashlib.sha256(b"".join((_EXPORT / file).read_bytes() for file in files)).hexdigest()[:16]


def write_weights(network: nn.Module, path: Path) -> int:
    """Save the weights and return the number of parameters."""
    torch.save(network.state_dict(), path)
    return sum(parameter.numel() for parameter in network.parameters())


def built(package: Path, output: Path, kind: str, calibration: Path, *words: str) -> Rows:
    """Build the FP16 or INT8 form of a package: its accuracy, and what stays in FP32 or out of INT8."""
    command = ["build", str(package), f"--{kind}", "--calib", str(calibration), "--target", "onnx", *words]
    code, said, told = called(lambda: edgesr([*command, "-o", str(output), "--json"]))
    if code:
        return {"ok": False, "why": told.replace(f"{package.parent}/", "")}
    return {"ok": True, **_figures(json.loads(said))}


def _figures(document: Mapping[str, Any]) -> Rows:
    stages = {name: it for name, it in document.items() if isinstance(it, Mapping) and "kind" in it}
    several = stages or {"": document}
    reasons: dict[str, int] = {}
    for stage in several.values():
        for reason in (stage.get("fp32_nodes") or stage.get("not_int8") or {}).values():
            reasons[reason] = reasons.get(reason, 0) + 1
    parts = [
        f"{name}: {_plain(it['made'])}" for name, it in document.items() if isinstance(it, Mapping) and "made" in it
    ]
    parts += [_made(*item) for item in stages.items()]
    made = ", ".join(parts) or _plain(document["notes"][0].split(";")[0])
    verdicts = [stage["against_fp32"] for stage in several.values()]
    known = [one["min_psnr"] for one in verdicts if one["min_psnr"] is not None]
    found: Rows = {"psnr": min(known) if known else None, "made": made, "islands": reasons}
    agreed = document.get("agreement") or verdicts[0].get("agreement")
    return {**found, "agreement": agreed} if agreed else {**found, "ssim": verdicts[0].get("min_ssim")}


def _plain(summary: str) -> str:
    return summary.removeprefix("ONNX with ")


def _made(name: str, stage: Mapping[str, Any]) -> str:
    if "int8_layers" in stage:
        return f"{name}: {len(stage['int8_layers'])} layers in INT8"
    return f"{name}: {len(stage.get('fp32_nodes', ()))} nodes in FP32" if stage["kind"] == "fp16" else f"{name}: FP32"


def on_double(package: Path, version: str, folder: Path, compare: Callable[[Any, Any], bool]) -> bool:
    """Compile and load a package as on a machine with that TensorRT, and compare the pipeline with the CPU's."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(version, patch, folder / version)
        with load(package, "tensorrt") as engine, load(package, "cpu", threads=1) as reference:
            same = compare(engine, reference)
        machine.fake.check()
    return same


def called(run: Callable[[], int]) -> tuple[int, str, str]:
    """Return exit code, standard output and the last line of standard error; leave when a signal ended the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run()
        except SystemExit as error:
            code = int(error.code or 0)
    if code in _ENDED:
        raise SystemExit(code)
    lines = err.getvalue().strip().splitlines()
    return code, out.getvalue(), lines[-1] if lines else ""
