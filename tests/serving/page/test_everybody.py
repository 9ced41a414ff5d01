"""The page for everybody: by keyboard, on a narrow screen, in the dark, read aloud; and light for the service."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from segue.serving.page.mount import SECTIONS
from tests.serving.page.site import Site

Open = Callable[[str], Page]

# Every text against what lies behind it, by WCAG 2.2; gives those that are too pale.
PALE = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = c => { const [r, g, b] = c.map(v => { v /= 255;
    return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = element => { const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]); };
  const pale = [];
  for (const element of document.querySelectorAll("header *, .section *")) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.disabled || element.tagName === "OPTION") continue;
    const back = behind(element), style = getComputedStyle(element);
    const [a, b] = [light(over(rgba(style.color), back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) pale.push([element.textContent.slice(0, 40), ratio.toFixed(2)]);
  }
  return pale;
}"""


def filled(page: Page, section: str) -> Page:
    """A section with everything in it that it can show."""
    if section == "":
        page.get_by_label("User").fill("u1")
        page.get_by_role("button", name="Recommend").click()
        page.locator("ol.list li").first.wait_for()
        for each in page.locator("summary").all():
            each.click()
    elif section == "patterns":
        if not page.get_by_role("heading", name="Common paths").is_visible():
            page.get_by_role("button", name="Count now").click()
        page.get_by_role("heading", name="Common paths").wait_for()
    elif section == "health":
        page.locator(".tile").first.wait_for()
    elif section == "online":
        page.locator("table").first.wait_for()
    elif section == "catalogue":
        page.get_by_role("link", name="The Last Harbour").click()
        page.locator("ol.list li").first.wait_for()
        page.get_by_text("Change this item").click()
    return page


def test_everything_can_be_done_by_keyboard_with_the_focus_in_sight(opened: Open) -> None:
    page = opened("")
    page.get_by_label("User").wait_for()
    stops: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e); return [e.textContent || e.name,"
            " s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, e.tagName, e.name]; })()"
        )
        stops.append(stop[0])
        assert stop[1], f"no focus to be seen at {stop}"
        if stop[3] == "user":
            page.keyboard.type("u1")
        if stop[0] == "Recommend":
            break
    assert stops[0] == "Skip to the content"
    assert stops[1:7] == [title for title, _ in SECTIONS.values()]
    page.keyboard.press("Enter")
    page.locator("ol.list li").first.wait_for()
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.ariaLabel || ''").startswith("click:"):
            break
    page.keyboard.press("Enter")
    page.get_by_text("is stored, and this list already knows it").wait_for()


def test_every_field_has_a_name_that_is_read_aloud(opened: Open) -> None:
    fields = 0
    for section in SECTIONS:
        page = opened(section)
        page.wait_for_timeout(300)
        bare = page.locator("input, select, textarea, button, progress").evaluate_all(
            "all => all.filter(e => !e.labels?.length && !e.ariaLabel && !(e.tagName === 'BUTTON' && e.textContent))"
            ".map(e => e.outerHTML)"
        )
        fields += page.locator("input, select, textarea").count()
        assert bare == []
        assert page.locator("h1").count() == 1
        assert page.locator("nav a[aria-current=page]").inner_text() == SECTIONS[section][0]
    assert fields > 10


@pytest.mark.parametrize("section", SECTIONS)
def test_a_narrow_screen_scrolls_down_alone(opened: Open, site: Site, section: str) -> None:
    site.control("rates")
    page = opened(section)
    page.set_viewport_size({"width": 400, "height": 800})
    filled(page, section)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_by_day_and_by_night(opened: Open, site: Site, page: Page, scheme: str) -> None:
    site.control("rates")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for section in SECTIONS:
        filled(opened(section), section)
        assert page.evaluate(PALE) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    assert dark == (scheme == "dark")
    page.locator("h1").evaluate("h1 => { h1.style.color = '#8e9aaf'; h1.style.backgroundColor = '#a0a8b8' }")
    assert page.evaluate(PALE) != []  # the measure sees what is too pale


def test_nothing_is_asked_while_nobody_looks(opened: Open, site: Site) -> None:
    page = opened("live")
    page.wait_for_timeout(1_500)
    before = site.asks()
    page.wait_for_timeout(2_000)
    assert 1 <= site.asks() - before <= 3
    page.goto("about:blank")
    time.sleep(4.5)  # until the browser is known to be gone
    before = site.asks()
    time.sleep(1.5)
    assert site.asks() == before


def test_counting_patterns_holds_no_request_up(opened: Open, site: Site) -> None:
    page = opened("patterns")
    site.control("slow", 3)
    page.get_by_role("button", name="Count now").click()
    page.get_by_role("progressbar").wait_for()
    waits = []
    for _ in range(5):
        began = time.perf_counter()
        site.asks()
        waits.append(time.perf_counter() - began)
    site.control("slow", 0)
    assert min(waits) < 0.5
    page.get_by_role("heading", name="Common paths").wait_for()


def test_settings_load_no_page_and_the_page_loads_neither_torch_nor_plotly() -> None:
    for module, absent in (("settings", {"nicegui"}), ("page.mount", {"torch", "transformers", "plotly"})):
        code = f"import sys, segue.serving.{module}; sys.exit(bool({absent} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, (module, absent)
