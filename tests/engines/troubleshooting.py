"""``python -m tests.engines.troubleshooting`` writes docs/troubleshooting.md from the catalogues of messages."""

from __future__ import annotations

import json
from pathlib import Path

from edgesr.engines.cuda_errors import REMEDIES
from edgesr.engines.messages import Entry, catalogue

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
# Written down from cudaGetErrorName of libcudart 12.9.79.
NAMES = json.loads((ROOT / "tests" / "data" / "cuda_error_names.json").read_text())

_HEAD = """# Troubleshooting

What TensorRT, CUDA and ONNX Runtime print when something goes wrong, why, and what helps. Search this page for the
words on your screen; `…` stands for what differs from case to case. Where edgesr meets one of these messages, its own
error says cause and remedy too. `edgesr doctor` checks the machine, `edgesr inspect FILE` says what a model, an ONNX
file or an engine is.

This page is made from `edgesr/engines/messages.json` and `edgesr/engines/cuda_errors.py` by
`python -m tests.engines.troubleshooting`; a test compares them, and feeds the catalogue with lines from the threads
that are linked.
"""


def page() -> str:
    """Return the whole page."""
    owners = list(dict.fromkeys(entry.of for entry in catalogue()))
    parts = [_HEAD]
    for owner in owners:
        parts.append(f"## {owner}\n")
        parts += [_entry(entry) for entry in catalogue() if entry.of == owner]
    parts.append("## Error codes of the CUDA runtime\n")
    rows = [f"| {code} | `{NAMES[str(code)]}` | {remedy} |" for code, remedy in REMEDIES.items()]
    parts.append("\n".join(["| code | name | what helps |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _entry(entry: Entry) -> str:
    messages = "\n".join(f"    {text}" for text in entry.texts)
    seen = ", ".join(f"[{_short(url)}]({url})" for url in entry.sources)
    return f"{messages}\n\n{_sentence(entry.cause)} **{_sentence(entry.remedy)}** Seen in {seen}.\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _short(url: str) -> str:
    owner, name, _, number = url.removeprefix("https://github.com/").split("/")
    return f"{owner}/{name} {number}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
