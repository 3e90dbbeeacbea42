"""The catalogue of messages, fed with lines that people posted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgesr.cli.main import build_parser
from edgesr.engines.messages import catalogue, explain, find
from tests.engines.troubleshooting import PAGE, page

LINES = json.loads((Path(__file__).parents[1] / "data" / "log_lines.json").read_text("utf-8"))


@pytest.mark.parametrize("posted", LINES, ids=lambda posted: posted["entry"])
def test_a_posted_line_gets_its_remedy(posted):
    entry = find(posted["line"])
    assert entry is not None
    assert entry.id == posted["entry"]
    assert explain(posted["line"]).endswith(f"({entry.cause}); {entry.remedy}")


def test_every_entry_has_a_posted_line():
    assert {entry.id for entry in catalogue()} == {posted["entry"] for posted in LINES}
    assert len({entry.id for entry in catalogue()}) == len(catalogue())


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.id)
def test_an_entry_knows_the_words_that_it_lists_and_names_its_sources(entry):
    for text in entry.texts:
        assert re.search(entry.pattern, text.replace("…", "1"), re.IGNORECASE), text
    assert entry.cause
    assert entry.sources
    for url in entry.sources:
        assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", url), url


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.id)
def test_a_remedy_names_no_option_that_edgesr_lacks(entry):
    foreign = {"--system-site-packages", "--runtime"}
    known = set()
    for action in build_parser()._actions:
        for parser in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            known |= set(parser._option_string_actions)
    assert set(re.findall(r"--[a-z][\w-]+", entry.remedy)) <= known | foreign


def test_an_unknown_line_stays_as_it_is():
    assert explain("something new") == "something new"


def test_what_was_explained_is_not_explained_again():
    line = "CUDA initialization failure with error: 35"
    assert explain(explain(line)) == explain(line)


def test_the_page_is_made_of_the_catalogue():
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.engines.troubleshooting"
