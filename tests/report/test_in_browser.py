"""The page in a real browser: headless Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fiqa_fast.report.evaluation_page import write_evaluation_report

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing(reason: str) -> Any:
    """Skips, or fails where a browser must be there."""
    if os.environ.get("FIQA_REQUIRE_BROWSER") == "1":
        pytest.fail(f"FIQA_REQUIRE_BROWSER is 1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        missing(f"none of {', '.join(CHROMIUM)} is installed")
    with sync_playwright() as driver:
        # Chromium's sandbox does not run as root, and the only page is our own.
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = driver.chromium.launch(executable_path=found, args=as_root)
        try:
            yield started
        finally:
            started.close()


@pytest.fixture(scope="module")
def page_file(make_evaluation: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    names = ("grafiqs/b2", "faceqan", "<b>markup</b>", "a-" * 60)
    result = make_evaluation(methods=names, data_sets=("LFW", "XQLFW"))
    write_evaluation_report([result], None, path, title="In a browser")
    return path


@pytest.fixture
def open_page(browser: Any, page_file: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end nothing may have gone wrong, and nothing been asked for."""
    contexts, problems, requests = [], [], []

    def open_it(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        return page

    try:
        yield open_it
    finally:
        for context in contexts:
            context.close()
    assert problems == []
    assert requests == [page_file.as_uri()] * len(contexts)


def shown_lines(page: Any) -> list[str]:
    """Numbers of the methods whose lines can be seen in the EDC chart."""
    lines = page.locator("section[aria-labelledby=edc] svg.chart .series")
    return [line.get_attribute("data-series") for line in lines.all() if line.is_visible()]


def shown_path(page: Any, number: int = 0) -> str:
    chart = page.locator("section[aria-labelledby=edc] svg.chart").locator("visible=true")
    assert chart.count() == 1
    return str(chart.locator(f'[data-series="{number}"] .line').get_attribute("d"))


def readings(page: Any) -> list[str]:
    return [r.inner_text() for r in page.locator("section[aria-labelledby=edc] .reading").all()]


def test_methods_are_switched_off_and_on(open_page: Any) -> None:
    page = open_page()
    edc = page.locator("section[aria-labelledby=edc]")
    assert sorted(shown_lines(page)) == ["0", "1", "2", "3"]

    edc.get_by_role("checkbox", name="faceqan").uncheck()
    assert sorted(shown_lines(page)) == ["0", "2", "3"]
    # Another choice shows the same methods.
    edc.get_by_role("combobox", name="Data set").select_option("XQLFW")
    assert sorted(shown_lines(page)) == ["0", "2", "3"]
    edc.get_by_role("checkbox", name="faceqan").check()
    assert sorted(shown_lines(page)) == ["0", "1", "2", "3"]

    edc.get_by_role("button", name="none").click()
    assert shown_lines(page) == []
    edc.get_by_role("button", name="all").click()
    assert sorted(shown_lines(page)) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("menu", "value"),
    [
        ("Data set", "XQLFW"),
        ("Operating point", "FMR 0.0001"),
        ("Threshold", "anew at each step"),
    ],
)
def test_a_choice_changes_the_curves_and_their_values(
    open_page: Any, menu: str, value: str
) -> None:
    page = open_page()
    path, values = shown_path(page), readings(page)

    page.locator("section[aria-labelledby=edc]").get_by_role("combobox", name=menu).select_option(
        value
    )

    assert shown_path(page) != path
    assert readings(page) != values


def test_an_area_that_another_threshold_has_brings_it_along(open_page: Any) -> None:
    """Trapezoids were computed for one policy only: the other menu follows."""
    page = open_page()
    areas = page.locator("section[aria-labelledby=areas]")
    assert areas.get_by_role("combobox", name="Threshold").input_value() == "fixed"

    areas.get_by_role("combobox", name="Area").select_option("trapezoids, up to 0.95")

    assert areas.get_by_role("combobox", name="Threshold").input_value() == "anew at each step"
    assert areas.locator("table").locator("visible=true").count() == 1


def test_values_are_those_of_the_evaluation(open_page: Any, make_evaluation: Any) -> None:
    names = ("grafiqs/b2", "faceqan", "<b>markup</b>", "a-" * 60)
    curves = make_evaluation(methods=names, data_sets=("LFW", "XQLFW")).curves[:4]
    page = open_page()
    slider = page.locator("section[aria-labelledby=edc] input[type=range]")

    for place in (0, 137, 500):
        slider.fill(str(place))
        # The rate of a step holds until the next point.
        expected = [
            c.error_rate[np.searchsorted(c.discard_fraction, place / 1000 + 1e-9, "right") - 1]
            for c in curves
        ]
        shown = [float(text) for text in readings(page)[:4]]
        np.testing.assert_allclose(shown, expected, rtol=0.01)


def test_the_pointer_moves_the_slider(open_page: Any) -> None:
    page = open_page()
    chart = page.locator("section[aria-labelledby=edc] svg.chart").locator("visible=true")
    before = readings(page)
    box = chart.bounding_box()

    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])

    slider = page.locator("section[aria-labelledby=edc] input[type=range]")
    assert 700 < int(slider.input_value()) < 760
    assert slider.get_attribute("aria-valuetext")
    assert readings(page) != before


def test_the_keyboard_is_enough(open_page: Any) -> None:
    page = open_page()

    def focused() -> str:
        return str(
            page.evaluate(
                "(document.activeElement.closest('label') || document.activeElement).innerText"
            )
        ).split("\n")[0]

    def tab_to(label: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if focused().startswith(label):
                return
        pytest.fail(f"no way to {label} by the tabulator")

    path = shown_path(page)
    tab_to("Data set")
    page.keyboard.press("ArrowDown")
    assert shown_path(page) != path

    values = readings(page)
    tab_to("Values at")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    assert readings(page) != values

    tab_to("grafiqs/b2")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Space")
    assert sorted(shown_lines(page)) == ["1", "2", "3"]


def test_a_narrow_window_scrolls_down_only(open_page: Any) -> None:
    page = open_page(viewport={"width": 400, "height": 800})

    widths = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(widths) <= 400
    assert (
        page.locator("section[aria-labelledby=edc] svg.chart").first.bounding_box()["width"] > 300
    )


CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const luminance = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const measured = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!texts.length || !element.checkVisibility()) continue;
    if (["TITLE", "SCRIPT", "STYLE"].includes(element.tagName.toUpperCase())) continue;
    const behind = [];
    for (let up = element; up; up = up.parentElement) {
      behind.unshift(getComputedStyle(up).backgroundColor);
    }
    behind.unshift("white");
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance([...behind, ink]), luminance(behind)];
    measured.push({
      text: texts[0].data.trim().slice(0, 40),
      kind: `${element.tagName}.${element.getAttribute("class")}`,
      contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
    });
  }
  return measured;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(open_page: Any, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.locator("section[aria-labelledby=edc]").get_by_role("checkbox", name="faceqan").uncheck()

    measured = page.evaluate(CONTRASTS)

    assert len(measured) > 300
    kinds = {one["kind"] for one in measured}
    assert {"text.null", "text.label", "text.level-name", "LI.null", "A.null", "TD.null"} <= kinds
    assert [one for one in measured if one["contrast"] < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_not_blank(open_page: Any, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    picture = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)

    assert picture is not None
    assert picture.shape == (900, 1280, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    assert (picture.mean() > 200) == (scheme == "light")


def test_without_a_script_everything_is_there(open_page: Any) -> None:
    page = open_page(java_script_enabled=False)

    edc = page.locator("section[aria-labelledby=edc]")
    assert edc.locator("svg.chart").locator("visible=true").count() == 8
    assert edc.locator("h3").locator("visible=true").count() == 8
    assert edc.locator("input, select, button").locator("visible=true").count() == 0
