"""The section Try: lists with their reasons, histories, moments, filters, sequences; and what is done there counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.serving.page.site import Site

Open = Callable[[str], Page]


def ask(page: Page, user: str = "u1", button: str = "Recommend") -> None:
    page.get_by_label("User").fill(user)
    page.get_by_role("button", name=button).click()
    page.get_by_text("events read").or_(page.get_by_text("event read")).first.wait_for()


def titles(page: Page) -> list[str]:
    return page.locator("ol.list .title").all_inner_texts()


def test_a_list_tells_titles_scores_reasons_its_model_and_its_id(opened: Open) -> None:
    page = opened("")
    ask(page)
    assert len(titles(page)) == 10
    said = page.get_by_label("List", exact=True).inner_text()
    for word in ("Model films-0002", " ms ", "events read", "score 0.", "people who took"):
        assert word in said
    assert page.locator("p code").inner_text()
    widths = page.locator(".bar i").evaluate_all("bars => bars.map(bar => bar.offsetWidth)")
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[-1] > 0


def test_a_click_is_history_in_the_next_list(opened: Open) -> None:
    page = opened("?user=u2")
    page.locator("ol.list li").first.wait_for()
    before = titles(page)
    page.get_by_role("button", name="click:").first.click()
    page.get_by_text("is stored, and this list already knows it").wait_for()
    assert titles(page) != before
    newest = page.get_by_label("Newest first").locator("li").first
    assert before[0] in newest.inner_text()
    assert "click" in newest.inner_text()


def test_users_are_suggested_as_they_are_typed(opened: Open) -> None:
    page = opened("")
    page.get_by_label("User").press_sequentially("u11")
    expect(page.locator("#users option[value=u11]")).to_be_attached()
    assert all(
        user.startswith("u11") for user in page.locator("#users option").evaluate_all("all => all.map(o => o.value)")
    )


def test_a_pasted_history_is_read_as_ids_or_titles(opened: Open) -> None:
    page = opened("")
    page.get_by_text("or a history").click()
    page.get_by_label("Ids or titles").fill("f3\nThe Broken Harbour (1978)\nno such film")
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_text("2 events read")).to_be_visible()
    expect(page.get_by_text("1 of the history are not in the catalogue")).to_be_visible()
    assert page.get_by_role("button", name="click:").count() == 0


def test_the_catalogue_completes_a_history(opened: Open) -> None:
    page = opened("")
    page.get_by_text("or a history").click()
    page.get_by_label("Find in the catalogue").press_sequentially("golden r")
    expect(page.locator("#found-items option").first).to_have_attribute("value", "The Golden River (1985)")
    page.get_by_label("Find in the catalogue").fill("The Golden River (1985)")
    page.get_by_role("button", name="Add to the history").click()
    expect(page.get_by_label("Ids or titles")).to_have_value("The Golden River (1985)\n")


def test_an_earlier_moment_knows_less(opened: Open) -> None:
    page = opened("")
    page.get_by_label("At (empty: now)").fill("2020-01-01")
    ask(page)
    expect(page.get_by_text("0 events read")).to_be_visible()
    expect(page.get_by_text("Nothing is known of this user")).to_be_visible()


def test_filters_narrow_the_list(opened: Open) -> None:
    page = opened("")
    page.get_by_text("Filters").click()
    page.get_by_label("Categories").select_option("comedy")
    page.get_by_label("to", exact=True).fill("4")
    ask(page)
    assert 0 < len(titles(page)) < 10


def test_a_sequence_is_a_chain_without_repeats(opened: Open) -> None:
    page = opened("")
    page.get_by_label("Items (k)").fill("6")
    ask(page, button="Generate a sequence")
    chain = page.get_by_label("Sequence").locator("li").all_inner_texts()
    assert len(chain) == len(set(chain)) == 6


def test_what_was_typed_stays_while_the_page_is_filled(opened: Open) -> None:
    page = opened("")
    page.get_by_label("Items (k)").fill("3")
    ask(page)
    assert len(titles(page)) == 3
    expect(page.get_by_label("Items (k)")).to_have_value("3")
    expect(page.get_by_label("User")).to_have_value("u1")


@pytest.mark.parametrize(("broken", "code"), [(1, "R001"), (0, "V090")])
def test_an_error_is_told_with_its_code_and_remedy(opened: Open, site: Site, broken: int, code: str) -> None:
    page = opened("")
    site.control("fail", broken)
    try:
        page.get_by_label("User").fill("u1")
        page.get_by_role("button", name="Recommend").click()
        expect(page.get_by_role("alert").first).to_contain_text(code)
        assert "Traceback" not in page.content()
    finally:
        site.control("calm")


def test_a_number_that_is_none_is_refused_by_name(opened: Open) -> None:
    page = opened("")
    page.get_by_text("Filters").click()
    page.get_by_label("Price from").fill("cheap")
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_role("alert").first).to_contain_text("V094")
    expect(page.get_by_role("alert").first).to_contain_text("'cheap'")
