"""The page is whole, harmless, and works in a real browser without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edgesr.bench.pareto import recommend
from edgesr.bench.record import Document, Stage
from edgesr.bench.report.exhibits import exhibit
from edgesr.bench.report.html import html, write_html
from tests.bench.browser import Browser, find_chromium
from tests.bench.records import document, row

VOID = {"meta", "link", "img", "input", "br"}


def figures(mean: float, *values: float) -> dict:
    pictures = [{"name": f"p{i}", "psnr": value, "ssim": value / 40} for i, value in enumerate(values)]
    return {"mean": {"psnr": mean, "ssim": mean / 40}, "std": {}, "pictures": pictures, "failures": {}}


def example() -> Document:
    generator = np.random.default_rng(0)
    noisy = tuple((50 + generator.random(900)).tolist())
    return document(
        row("fast", (9.0, 10.0, 11.0, 12.0), quality=figures(34.0, 33.0, 35.0)),
        row("slow", noisy, quality=figures(36.0, 35.1, 36.9)),
        row(
            "hot <b>&", (500.0, 900.0), quality=figures(36.5, 36.0, 37.0), status="invalid", reasons=("the clock fell",)
        ),
        row("broken", samples=(), quality=None, status="failed", reasons=("cannot load",)),
    )


def pictures():
    generator = np.random.default_rng(1)
    low = generator.integers(0, 256, (16, 24, 1), np.uint8)
    high = np.kron(low, np.ones((4, 4, 1), np.uint8))
    bound = generator.random(high.shape[:2], np.float32) * np.float32(0.1)
    color = np.repeat(low, 3, axis=2)
    return [
        exhibit(0, "grey", low, high, reference=high, bound=bound),
        exhibit(1, 'col"our', color, np.kron(color, np.ones((4, 4, 1), np.uint8))),
    ]


class Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> Balance:
    page = Balance()
    page.feed(text)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    return page


def test_the_page_is_well_formed_and_says_everything():
    found = recommend(example().rows, least=35)
    page = read(html(example(), pictures(), found))
    words = " ".join(page.words)
    for text in ("hot <b>&: INVALID: the clock fell", "broken: FAILED: cannot load", found.sentence, "AMD EPYC"):
        assert text in words
    assert [image["alt"] for image in page.images[:2]] == ["grey, bicubic", "grey, restored by fast"]
    assert len(page.images) == 5 + 3


def test_the_page_names_no_address_but_its_own():
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "data:", html(example(), pictures()))
    assert not re.findall(r"(?:https?:)?//[a-z]", text)
    assert set(re.findall(r'(?:src|href)="([^"#]*)', text)) <= {"data:", "data:,", ""}


def test_a_page_without_quality_or_rows_says_so():
    assert "nothing to plot" in html(document(row("a", quality=None)))
    read(html(replace(example(), rows=())))


def test_invalid_rows_are_drawn_but_never_on_the_frontier():
    text = html(example())
    assert re.findall(r'class="point (\w+)" href="#row-3"', text)[0] == "bad"
    assert re.findall(r'class="point (\w+)" href="#row-1"', text)[0] == "best"


def test_the_interval_of_a_mean_leaves_out_what_all_rows_owe_to_the_pictures():
    from edgesr.bench.report.plot import points_of

    rows = [
        row(name, quality=figures(0, *(20 + shift, 40 + shift, 30 + shift))) for name, shift in (("a", 0), ("b", 1))
    ]
    for point in points_of(rows, "psnr", "ms"):
        assert point.y_range == pytest.approx((0.0, 0.0), abs=1e-9)
    alone = points_of(rows[:1], "psnr", "ms")[0]
    assert alone.y_range == pytest.approx((-24.84, 24.84), abs=0.01)  # 4.303 * 10 / sqrt(3)


def test_large_pictures_are_cut_and_said_to_be():
    shown = exhibit(0, "large", np.zeros((200, 300, 1), np.uint16), np.zeros((800, 1200, 1), np.uint16))
    assert (shown.width, shown.height, shown.is_cut, shown.against) == (480, 480, True, "bicubic")
    assert "Cut to the middle 480 x 480" in html(document(row()), [shown])


def test_many_samples_make_a_small_line():
    long = document(row("a", stages={"end_to_end": Stage(tuple(float(i % 97) + 1 for i in range(50_000)))}))
    assert len(html(long)) < 60_000


@pytest.fixture(scope="module", params=[(1200, False), (375, False), (375, True)], ids=["desktop", "phone", "dark"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: apt install chromium")
    folder: Path = tmp_path_factory.mktemp("page")
    write_html(folder / "report.html", example(), pictures())
    width, dark = request.param
    with Browser(program, folder, width=width, dark=dark) as browser:
        browser.open((folder / "report.html").as_uri())
        yield browser


def test_a_browser_loads_every_picture_and_plot_with_no_network_and_no_complaint(page):
    images = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth])")
    assert len(images) == 8
    assert all(done and width for done, width in images)
    plots = page.evaluate(
        "[...document.querySelectorAll('figure svg')].filter(s => s.checkVisibility()).map(s => s.getBBox().width)"
    )
    assert len(plots) == 1 + 3  # the first plot and three lines of samples
    assert all(width > 0 for width in plots)
    addresses = [e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"]
    assert {address.partition(":")[0] for address in addresses} == {"file", "data"}
    assert sum(address.startswith("file:") for address in addresses) == 1
    kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed")
    assert not [event for event in page.events if event["method"] in kinds]


def test_the_page_does_not_scroll_sideways(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def cut(page: Browser) -> str:
    return page.evaluate("getComputedStyle(document.querySelector('.slider .after')).clipPath")


def test_the_slider_moves_by_keyboard_and_by_dragging(page):
    page.evaluate("document.getElementById('cut-0').focus()")
    assert cut(page) == "inset(0px 0px 0px 50%)"
    page.press("ArrowRight", 39)
    assert cut(page) == "inset(0px 0px 0px 51%)"
    page.press("End", 35)
    assert cut(page) == "inset(0px 0px 0px 100%)"
    page.evaluate("document.querySelector('.slider').scrollIntoView({block: 'center'})")
    left, top, width, height = page.evaluate(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.slider').getBoundingClientRect())"
    )
    middle = top + height / 2
    page.drag((left + width * 0.9, middle), (left + width * 0.25, middle))
    assert cut(page) == "inset(0px 0px 0px 25%)"
    assert page.evaluate("document.getElementById('cut-0').value") == "25"
    page.evaluate("(i => { i.value = 50; i.dispatchEvent(new Event('input')) })(document.getElementById('cut-0'))")


def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, img, a, summary')].filter(e => !(e.textContent.trim() || e.alt"
        " || e.getAttribute('aria-label') || (e.labels && e.labels.length))).length"
    )
    assert unnamed == 0


def test_the_table_sorts_by_a_column_and_back(page):
    order = "[...document.querySelectorAll('.sortable tbody tr')].map(r => r.id)"
    head = "document.querySelectorAll('.sortable thead button')"
    column = page.evaluate(f"[...{head}].findIndex(b => b.textContent === 'PSNR dB')")
    page.evaluate(f"{head}[{column}].click()")
    assert page.evaluate(order) == ["row-1", "row-2", "row-3", "row-4"]
    page.evaluate(f"{head}[{column}].click()")
    assert page.evaluate(order) == ["row-3", "row-2", "row-1", "row-4"]
    assert page.evaluate(f"{head}[{column}].closest('th').getAttribute('aria-sort')") == "descending"
    page.evaluate(f"{head}[0].click()")
    assert page.evaluate(order) == ["row-1", "row-2", "row-3", "row-4"]


def test_text_stands_out_from_its_background(page):
    colors = page.evaluate(
        "['.note', '.lead', '.answer', 'a', 'td', 'h1', '.warning'].map(s => document.querySelector(s)).filter(e => e)"
        ".map(e => { let b = e; while (getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)') b = b.parentElement;"
        " return [getComputedStyle(e).color, getComputedStyle(b).backgroundColor] })"
    )
    for pair in colors:
        first, second = sorted(luminance(text) for text in pair)
        assert (second + 0.05) / (first + 0.05) >= 4.5  # WCAG 2.2, level AA


def luminance(text: str) -> float:
    channels = [int(value) / 255 for value in re.findall(r"\d+", text)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
