# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, offline."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from hpip.bench.render.page import html_page
from hpip.bench.render.plots import plots_of, save_plots
from tests.bench.reports import make_load_row, make_report, make_row

REPORT = make_report(
    make_row(typical_ms=100),
    make_row("paddle", typical_ms=300),
    make_row("paddlex", state="wrong", error="300 instances are not in the reference"),
    make_row(model="A-rather-long-name-of-a-fine-tuned-model", typical_ms=2500, calls=3),
    load_rows=tuple(
        make_load_row(loop, level) for loop in ("closed", "open") for level in (1, 2, 4, 8)
    ),
)
NAMES = {
    "speedup",
    "latency-demo",
    "latency-a-rather-long-name-of-a-fine-tuned-model",
    "memory",
    "load-closed-demo",
    "load-open-demo",
}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "bench.html"
    path.write_text(html_page(REPORT, plots_of(REPORT)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the path")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_the_page_asks_for_nothing(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(link.startswith("#") for link in links)
    assert "<script" not in text
    assert "@import" not in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_each_plot_is_a_file_of_both_kinds(tmp_path: Path) -> None:
    plots = plots_of(REPORT)
    assert {plot.name for plot in plots} == NAMES
    save_plots(plots, tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(tmp_path / f"{name}.svg")


def test_a_report_without_times_has_a_page_too() -> None:
    report = make_report(make_row(state="failed", error="<broken> & gone"))
    assert plots_of(report) == []
    assert "&lt;broken&gt; &amp; gone" in html_page(report, [])


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(1280, 900, "light"), (390, 844, "light"), (1280, 900, "dark")],
    ids=["desktop", "phone", "dark"],
)
def test_plots_are_drawn_and_nothing_sticks_out(
    browser: Any, page_file: Path, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure.plot").count() == len(NAMES)
    for name in NAMES:
        svg = page.locator(f"#{name} svg")
        box = svg.bounding_box()
        assert box is not None
        assert 250 <= box["width"] <= width
        assert box["height"] >= 60
        # Text is text, in the page's ink.
        assert svg.locator("text").count() >= 3
        ink = svg.locator("text").first.evaluate("e => getComputedStyle(e).fill")
        assert ink == page.evaluate("getComputedStyle(document.body).color")
    for y in (0, 1):
        infer = page.locator(f"#latency-demo--bar-infer-{y} path").bounding_box()
        assert infer is not None
        assert infer["width"] > 5
    fast, slow = (
        page.locator(f"#latency-demo--bar-infer-{y} path").bounding_box()["width"] for y in (0, 1)
    )
    assert slow == pytest.approx(3 * fast, rel=0.05)
    assert page.locator("[id='load-closed-demo--line-auto-p50'] use").count() == 4
    assert page.locator("tr.bad", has_text="WRONG").count() == 1
    assert page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert not complaints
    context.close()
