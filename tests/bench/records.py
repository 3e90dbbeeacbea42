"""Rows and documents with known figures."""

from edgesr.bench.record import Document, Reading, Row, Stage, Throughput


def row(model="cxr-x4-fast", samples=(10.0, 11.0, 12.0, 13.0), **values):
    stages = {"compute": Stage(tuple(ms - 1 for ms in samples)), "end_to_end": Stage(tuple(samples))} if samples else {}
    settings = {
        "sha256": "ab" * 32,
        "precision": "fp32",
        "device": "onnxruntime:cpu",
        "task": "restoration",
        "scale": 4,
        "input_size": (64, 48, 1),
        "output_size": (256, 192, 1),
        "conditions": {"graph": "none", "transfers": "none, the processor computes in place", "spin": "off"},
        "stages": stages,
        "load_ms": 120.0,
        "first_ms": 20.0,
        "throughput": (Throughput(80.0, 1, 80, 1.0), Throughput(120.0, 2, 120, 1.0)),
        "memory": {"peak_rss": Reading(123_456_789, "VmHWM in /proc/self/status", "bytes")},
        "power": {
            "watts": Reading(12.5, "tegrastats VDD_IN", "W"),
            "joules_per_image": Reading(0.15, "tegrastats VDD_IN", "J"),
            "idle_watts": Reading(None, "", "W", "no permission"),
        },
        "quality": {"mean": {"psnr": 33.1}, "std": {}, "pictures": [{"name": "a", "psnr": 33.1}], "failures": {}},
    }
    return Row(model=model, **{**settings, **values})


def document(*rows, **values):
    machine = {"cpu": Reading("AMD EPYC", "/proc/cpuinfo"), "gpu": Reading(None, "/proc/driver/nvidia", "", "no GPU")}
    settings = {
        "created": "2026-11-21T12:00:00Z",
        "edgesr": "0.1.0",
        "machine": machine,
        "settings": {"duration_s": 10},
    }
    return Document(rows=rows or (row(),), **{"machine": machine, **settings, **values})
