"""The other sections: each is acted on, and what it shows is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from segue.serving.page.online import compared
from segue.serving.page.source import Counted
from tests.serving.page.site import Site

Open = Callable[[str], Page]


def rows(page: Page) -> list[str]:
    return page.locator("tbody tr").all_inner_texts()


def test_events_come_newest_first_and_never_more_than_fit(opened: Open, site: Site) -> None:
    page = opened("live")
    page.wait_for_timeout(1_100)
    for count in (3, 30, 30, 30):
        site.control("events", count)
        page.wait_for_timeout(1_100)
    page.get_by_text("more came at once").wait_for()
    assert 20 < len(rows(page)) <= 60
    moments = [row.split("\t")[0] for row in rows(page)]
    assert moments == sorted(moments, reverse=True)
    expect(page.get_by_text("events in the last minute")).not_to_contain_text("0 events in the last minute")
    assert page.locator("svg.plot path").get_attribute("d")


def test_a_paused_feed_stands_and_goes_on(opened: Open, site: Site) -> None:
    page = opened("live")
    site.control("events", 3)
    page.locator("tbody tr").first.wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Go on").wait_for()
    page.wait_for_timeout(1_100)  # what was on its way
    before = rows(page)
    site.control("events", 7)
    page.wait_for_timeout(1_500)
    assert rows(page) == before
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("tbody tr").nth(len(before))).to_be_attached()


def test_rates_say_what_to_do_until_there_are_some_and_then_compare_models(opened: Open, site: Site) -> None:
    site.control("rates", 0)
    page = opened("online")
    page.get_by_text("No impression came yet").wait_for()
    site.control("rates")
    page.get_by_text("That is more than chance").wait_for()
    tables = page.locator("table")
    assert tables.count() == 3
    assert "films-0001\t10,000" in tables.first.inner_text()
    assert " to " in tables.first.inner_text()
    assert len(tables.nth(1).locator("tbody tr").all()) == 5
    assert "2026-01-03 08:00" in tables.nth(2).inner_text()


def test_two_models_are_compared_in_a_sentence() -> None:
    old, new = Counted("old", None, None, 1_000, 50, 1), Counted("new", None, None, 1_000, 90, 2)
    assert compared([old, new]).startswith(
        "new is clicked in 9.00% of its impressions, old in 5.00%: a difference of 4.00"
    )
    assert compared([old, new]).endswith("That is more than chance.")
    assert compared([old, Counted("new", None, None, 1_000, 52, 2)]).endswith("That may be chance.")
    assert "too few impressions" in compared([old, Counted("new", None, None, 99, 9, 0)])
    assert "One model answers: old" in compared([old])


def test_a_model_is_activated_and_rolled_back_after_a_confirmation_alone(opened: Open) -> None:
    page = opened("health")
    first = page.locator("tbody tr").first
    expect(first).to_contain_text("films-0002\tactive", use_inner_text=True)
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Activate films-0001").click()
    page.wait_for_timeout(500)
    expect(first).to_contain_text("films-0002\tactive", use_inner_text=True)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Activate films-0001").click()
    page.get_by_text("films-0001 answers now.").wait_for()
    expect(first).to_contain_text("films-0002\twaiting", use_inner_text=True)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Roll back").click()
    expect(first).to_contain_text("films-0002\tactive", use_inner_text=True)
    assert asked == ["Let films-0001 answer everybody?"]


def test_health_shows_figures_and_alerts_that_are_on_and_were(opened: Open, site: Site) -> None:
    page = opened("health")
    expect(page.locator(".tile").first).to_contain_text("1.9 ms")
    expect(page.get_by_text("None is on.")).to_be_visible()
    site.control("alert")
    try:
        expect(page.get_by_role("alert")).to_contain_text("p99_seconds")
        expect(page.get_by_text("Not ready")).to_be_visible()
    finally:
        site.control("calm")
    page.get_by_text("Past changes").click()
    expect(page.get_by_role("region", name="Past alerts")).to_contain_text("store_unavailable")


def test_patterns_are_counted_on_a_button_with_progress(opened: Open, site: Site) -> None:
    page = opened("patterns")
    site.control("slow", 2)
    page.get_by_role("button", name="Count now").click()
    page.get_by_text("Searching for common paths").wait_for()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("button", name="Count now")).to_be_disabled()
    page.get_by_role("heading", name="Common paths").wait_for()
    site.control("slow", 0)
    assert " → " in page.locator("ol.list li").first.inner_text()
    assert "%" in page.get_by_role("region", name="What comes directly next").inner_text()
    assert "Mon" in page.get_by_role("region", name="Hours and weekdays").inner_text()
    expect(page.get_by_role("progressbar")).to_be_hidden()
    expect(page.get_by_role("button", name="Count now")).to_be_enabled()


def test_the_catalogue_is_searched_and_shows_an_item_with_what_is_like_it(opened: Open) -> None:
    page = opened("catalogue")
    page.get_by_label("Search").fill("golden riv")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="The Golden River (1985)").click()
    page.get_by_role("heading", name="The Golden River (1985)").wait_for()
    assert "genres" in page.get_by_label("Item", exact=True).inner_text()
    expect(page.locator("ol.list li")).to_have_count(8)


def test_an_item_is_added_changed_and_found(opened: Open) -> None:
    page = opened("catalogue")
    page.get_by_role("button", name="New item").click()
    page.get_by_label("Id", exact=True).fill("f900")
    page.get_by_label("Title").fill("A Film of Today")
    page.get_by_label("Other columns").fill("price = 4")
    page.get_by_role("button", name="Store").click()
    page.get_by_text("f900 is stored").wait_for()
    page.goto(page.url.partition("?")[0] + "?item=f900")
    page.get_by_text("Change this item").click()
    expect(page.get_by_label("Other columns")).to_have_value("price = 4")
    page.get_by_label("Title").fill("A Film of Yesterday")
    page.get_by_role("button", name="Store").click()
    page.get_by_text("f900 is stored").wait_for()
    page.get_by_label("Search").fill("yesterday")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("link", name="A Film of Yesterday")).to_be_visible()


@pytest.mark.parametrize("columns", ["price 4", "= 4"])
def test_a_column_that_is_none_is_refused(opened: Open, columns: str) -> None:
    page = opened("catalogue")
    page.get_by_role("button", name="New item").click()
    page.get_by_label("Id", exact=True).fill("f901")
    page.get_by_label("Other columns").fill(columns)
    page.get_by_role("button", name="Store").click()
    expect(page.get_by_role("alert")).to_contain_text("V094")
