"""The page in a real browser: Debian's Chromium, driven by Playwright."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.comparisons.made_up import made_up
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.page import as_html
from tsbench.comparisons.plots import PICTURES
from tsbench.comparisons.published import load_reference
from tsbench.comparisons.results import Results
from tsbench.comparisons.versions import Provenance
from tsbench.comparisons.wording import sentences

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROVENANCE = Provenance(
    "sqlite:///mlflow.db",
    2,
    [({"tsbench": "0.1.0", "torch": "2.13.0"}, 2)],
    {"Beef": {"Beef_TRAIN.ts": ["ab" * 32]}},
    ["c0ffee"],
)


@pytest.fixture(scope="module")
def comparison():
    only = ("network", "minirocket", "dummy", "HC2", "QUANT")
    return Comparison(made_up(resamples=30), (load_reference("published"),), only=only, with_nemenyi=True)


@pytest.fixture(scope="module")
def html(comparison):
    return as_html(comparison, PROVENANCE)


def test_the_page_holds_all_that_it_shows(html):
    assert not re.findall(r"(?:src|href)=[\"\'](?!data:|#)", html)
    assert "url(" not in html
    assert "@import" not in html
    assert html.count("<img ") == len(PICTURES)


def test_the_page_tells_findings_protocol_sources_versions_and_digests(comparison, html):
    for text in (
        "Mean accuracy over 30 resamples of each data set.",
        "Middlehurst et al. 2024",
        "torch 2.13.0",
        "Versions, in 2 searches of 2",
        "ab" * 32,
        "c0ffee",
        "Friedman",
        "critical difference",
        *sentences(comparison),
    ):
        assert text in html, text


def test_names_are_no_markup():
    comparison = Comparison(made_up(("<script>alert(1)</script>", "a & b"), datasets=("<b>",)))
    page = as_html(comparison)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;" in page


def test_a_page_of_nothing_says_what_is_missing():
    page = as_html(Comparison(Results("empty", ())))
    assert "There are no two classifiers with scores on a common data set" in page
    assert page.count("not drawn, as") == len(PICTURES)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def opened(browser, html, tmp_path_factory):
    """The page, what its console said, and what it asked of the network."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, said, asked


def column(page, table, number):
    return page.eval_on_selector_all(f"#{table} tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent)")


def header(page, table, number):
    return page.locator(f"#{table} thead th").nth(number)


def test_a_browser_opens_it_without_an_error_and_asks_the_network_for_nothing(opened):
    page, said, asked = opened
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert "comparison of 5 classifiers" in page.title()


def test_a_browser_shows_every_picture(opened):
    page, _, _ = opened
    sizes = page.eval_on_selector_all(
        "img", "all => all.map(one => [one.complete, one.naturalWidth, one.clientHeight])"
    )
    assert len(sizes) == len(PICTURES)
    for complete, width, height in sizes:
        assert complete
        assert width > 100
        assert height > 100
    links = page.eval_on_selector_all("figcaption a", "all => all.map(one => one.href.slice(0, 15))")
    assert links == ["data:image/svg+", "data:image/png;"] * len(PICTURES)


def test_a_browser_sorts_a_table_by_each_column(opened, comparison):
    page, said, _ = opened
    names = column(page, "scores-table", 0)
    assert names == list(comparison.datasets)
    header(page, "scores-table", 1).get_by_role("button").click()
    figures = [float(text) for text in column(page, "scores-table", 1)]
    assert figures == sorted(figures)
    assert header(page, "scores-table", 1).get_attribute("aria-sort") == "ascending"
    header(page, "scores-table", 1).get_by_role("button").click()
    assert [float(text) for text in column(page, "scores-table", 1)] == figures[::-1]
    header(page, "scores-table", 0).get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, "scores-table", 0) == sorted(names, key=str.lower)
    assert said == []


def test_a_browser_sorts_p_values_by_size_and_what_is_missing_last(opened, comparison):
    page, _, _ = opened
    at = 6
    assert "Wilcoxon" in header(page, "standings-table", at).inner_text()
    for _ in range(2):
        header(page, "standings-table", at).get_by_role("button").click()
        shown = page.eval_on_selector_all(
            "#standings-table tbody tr", f'rows => rows.map(row => row.cells[{at}].dataset.key ?? "")'
        )
        assert shown[-1] == ""  # the control has none
    assert [float(cell) for cell in shown[:-1]] == sorted((float(cell) for cell in shown[:-1]), reverse=True)


def test_the_page_is_not_wider_than_a_phone(opened):
    page, _, _ = opened
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("width", [1280, 800])
def test_the_tables_of_classifiers_and_pairs_need_no_scrolling(browser, tmp_path, width):
    names = ("network@a-recipe-with-quite-a-long-name", "minirocket", "sktime.interval.TimeSeriesForestClassifier")
    only = (*names, "HC2", "MultiROCKET-Hydra", "FreshPRINCE")
    path = tmp_path / "report.html"
    path.write_text(as_html(Comparison(made_up(names), (load_reference("published"),), only=only)), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    for table, column in (("standings-table", 6), ("pairs-table", 5)):
        right = page.evaluate(f"document.querySelector('#{table}').parentElement.getBoundingClientRect().right")
        for row in page.locator(f"#{table} tr").all():
            box = row.locator("th, td").nth(column).bounding_box()
            assert box["x"] + box["width"] <= right + 1  # p is in sight
    page.close()


def test_without_javascript_everything_is_shown(browser, html, tmp_path, comparison):
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(Path(path).as_uri())
    assert page.locator("#scores-table tbody tr").count() == len(comparison.datasets)
    context.close()
