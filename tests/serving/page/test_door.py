"""Who is let in, and what a browser may do with what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nicegui
import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from segue.errors import LoginRefused, LoginTooOften
from segue.serving.page import door
from segue.serving.page.door import Door, Sessions
from segue.serving.page.mount import SECTIONS
from tests.serving.page.fake import CANARY, KEY
from tests.serving.page.site import Site

Open = Callable[[str], Page]
SOCKET = "/ui/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


def is_inert(page: Page) -> bool:
    """Whether a hostile title is text here and nothing else."""
    page.wait_for_timeout(300)
    shown = CANARY in page.locator(".section").inner_text()
    return shown and not page.locator(".section img, .section script").count() and page.evaluate("!window.canary")


# -- nothing from elsewhere, nothing alive ---------------------------------------------------------------------


def test_no_request_leaves_the_service(opened: Open, site: Site, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for section in SECTIONS:
        opened(section)
    page.wait_for_timeout(500)
    assert len(asked) > len(SECTIONS)
    assert all(url.startswith((site.address, "data:")) for url in asked), asked
    with pytest.raises(AssertionError):  # the recording sees what does leave
        _twin_asks_elsewhere(page, site, asked)


def _twin_asks_elsewhere(page: Page, site: Site, asked: list[str]) -> None:
    free = page.context.browser.new_context(bypass_csp=True)  # type: ignore[union-attr]
    twin = free.new_page()
    twin.on("request", lambda request: asked.append(request.url))
    twin.goto(f"{site.address}/ui/twin")
    twin.locator(".section img").first.wait_for(state="attached")
    twin.wait_for_timeout(300)
    free.close()
    assert all(url.startswith((site.address, "data:")) for url in asked)


@pytest.mark.parametrize("section", ["catalogue?text=canary", "catalogue?item=canary", "live", "?user=%3Cscript"])
def test_a_hostile_title_is_text(opened: Open, site: Site, section: str) -> None:
    site.control("canary")
    page = opened(section)
    if section.startswith("?user"):
        page.get_by_label("User").fill(CANARY)
        page.get_by_role("button", name="Recommend").click()
        page.get_by_label("Newest first").locator("li").first.wait_for()
    elif section == "live":
        site.control("canary")
        page.locator("tbody tr").first.wait_for()
    else:
        page.get_by_text("window.canary").first.wait_for()
    assert is_inert(page)


def test_a_title_put_in_as_html_would_live_and_the_policy_stops_its_script(browser: Browser, site: Site) -> None:
    """The twin: what the test above would see, and that the canary sings where nothing holds it."""
    for bypass, sang in ((True, 2), (False, None)):
        context = browser.new_context(bypass_csp=bypass)
        page = context.new_page()
        page.goto(f"{site.address}/ui/twin")
        if bypass:
            page.locator(".section img").first.wait_for(state="attached")
            assert not is_inert(page)
        page.wait_for_timeout(500)
        assert page.evaluate("window.canary ?? null") == sang
        context.close()


def test_documents_may_run_their_own_scripts_alone_and_evaluate_none(site: Site, page: Page) -> None:
    first, second = (page.request.get(f"{site.address}/ui/").headers["content-security-policy"] for _ in range(2))
    assert first != second  # each has a nonce of its own
    scripts = next(each for each in first.split("; ") if each.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "unsafe-inline" not in first
    assert "unsafe-eval" not in first
    assert first.startswith("default-src 'none'")
    file = page.request.get(f"{site.address}/ui/_nicegui/{nicegui.__version__}/static/nicegui.js")
    assert file.status == 200
    assert file.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


# -- other sites -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://elsewhere.example", None])
def test_a_socket_of_another_page_is_refused(site: Site, origin: str | None) -> None:
    address = site.address.replace("http", "ws") + SOCKET
    with pytest.raises(InvalidStatus), connect(address, origin=origin):
        pass
    with connect(address, origin=site.address) as own:  # type: ignore[arg-type]
        assert own.recv(timeout=10)


def test_a_foreign_host_is_refused_on_loopback(site: Site, page: Page) -> None:
    assert page.request.get(f"{site.address}/ui/", headers={"host": "elsewhere.example"}).status == 421


class _Closed:
    """A source with keys and no session."""

    def locked(self) -> bool:
        return True

    def admitted(self, secret: str) -> str | None:
        return "one" if secret == KEY else None

    def still_admitted(self, key_id: str) -> bool:
        return True


def _reached(scope: dict[str, Any]) -> bool:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def nothing(*_: Any) -> None:
        return None

    full = {"type": "http", "method": "GET", "path": "/ui/", "root_path": "/ui", "headers": [], **scope}
    with ThreadPoolExecutor(1) as threads:  # the browser's own loop runs in this one
        threads.submit(asyncio.run, Door(app, _Closed())(full, nothing, nothing)).result()  # type: ignore[arg-type]
    return bool(reached)


def test_only_the_guard_or_a_session_opens_the_door() -> None:
    assert not _reached({})
    assert not _reached({"state": {"allowed": {"recommend"}}})
    assert _reached({"state": {"allowed": {"admin"}}})
    assert not _reached({"headers": [(b"cookie", b"segue_page=guessed")]})


@pytest.mark.parametrize(
    "scope",
    [
        {"method": "POST", "headers": [(b"host", b"here"), (b"origin", b"http://there")]},
        {"type": "websocket", "headers": [(b"host", b"here"), (b"origin", b"http://there")]},
        {"type": "websocket", "headers": [(b"host", b"here")]},
        {"path": "/ui/_nicegui_ws/", "headers": [(b"host", b"here"), (b"origin", b"http://there")]},
    ],
)
def test_what_another_site_asks_for_stays_outside(scope: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    admin = {**scope, "state": {"allowed": {"admin"}}}
    assert not _reached(admin)
    monkeypatch.setattr(door, "_is_foreign", lambda *_: False)  # the twin: a door that does not look
    assert _reached(admin)


# -- login -----------------------------------------------------------------------------------------------------


def test_the_page_opens_with_an_admins_key_until_logout(browser: Browser, locked_site: Site) -> None:
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"{locked_site.address}/ui/health")
    assert answer is not None
    assert answer.url.endswith("/ui/login")
    assert "_nicegui" not in page.content()
    assert page.request.get(f"{locked_site.address}/ui/_nicegui/3/static/x.js").status == 401
    page.get_by_label("Admin key").fill("segue_0123abcd_guessed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("V091")
    page.get_by_label("Admin key").fill(KEY)
    page.keyboard.press("Enter")
    page.locator(".section h1").wait_for()
    (cookie,) = context.cookies()
    assert cookie["httpOnly"]
    assert (cookie["sameSite"], cookie["path"]) == ("Strict", "/ui/")
    assert KEY not in cookie["value"]
    page.get_by_label("User").fill("u1")
    page.get_by_role("button", name="Recommend").click()
    page.locator("ol.list li").first.wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Admin key").wait_for()
    context.add_cookies([cookie])  # the old session is worth nothing
    page.goto(f"{locked_site.address}/ui/")
    page.get_by_label("Admin key").wait_for()
    context.close()


def test_a_session_ends_with_its_key_and_with_its_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _Closed()
    sessions = Sessions(source)  # type: ignore[arg-type]
    token = sessions.open(KEY, "127.0.0.1")
    assert sessions.valid(token)
    assert not sessions.valid(token + "x")
    assert not sessions.valid(None)
    monkeypatch.setattr(_Closed, "still_admitted", lambda *_: False)
    assert not sessions.valid(token)
    monkeypatch.undo()
    token = sessions.open(KEY, "127.0.0.1")
    now = door.time.monotonic()
    monkeypatch.setattr(door.time, "monotonic", lambda: now + 13 * 3_600)
    assert not sessions.valid(token)


def test_keys_are_not_guessed_at_leisure() -> None:
    sessions = Sessions(_Closed())  # type: ignore[arg-type]
    for _ in range(10):
        with pytest.raises(LoginRefused):
            sessions.open("guess", "203.0.113.7")
    for secret in ("guess", KEY):
        with pytest.raises(LoginTooOften):
            sessions.open(secret, "203.0.113.7")
    assert sessions.valid(sessions.open(KEY, "203.0.113.8"))  # whoever guesses locks out nobody else


def test_what_is_remembered_of_guesses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_ADDRESSES", 5)
    sessions = Sessions(_Closed())  # type: ignore[arg-type]
    for number in range(9):
        with pytest.raises(LoginRefused):
            sessions.open("guess", f"203.0.113.{number}")
    assert list(sessions._failed) == [f"203.0.113.{number}" for number in range(4, 9)]


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.7", 5), "203.0.113.7"),
        (("::ffff:203.0.113.7", 5), "203.0.113.7"),
        (("2001:db8::1:2:3:4", 5), "2001:db8::/64"),
        (("2001:db8::5", 5), "2001:db8::/64"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (None, ""),
    ],
)
def test_an_address_is_a_machines_or_a_networks(client: Any, address: str) -> None:
    assert door._address({"client": client}) == address


def test_sessions_are_bounded() -> None:
    sessions = Sessions(_Closed())  # type: ignore[arg-type]
    tokens = [sessions.open(KEY, "127.0.0.1") for _ in range(80)]
    assert sum(map(sessions.valid, tokens)) == 64
    assert sessions.valid(tokens[-1])
