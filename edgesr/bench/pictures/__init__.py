"""The picture that benchmarks use when none is given: the example X-ray of the project, see examples/SOURCES.md."""

from pathlib import Path

DEFAULT_PICTURE = Path(__file__).with_name("chest_xray.png")
