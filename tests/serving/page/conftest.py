"""A browser, and the page to look at in it: one process for all tests, with a service in memory behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.faults.server import free_port
from tests.serving.page.site import Site
from tests.system_tools import CHROMIUM, need

expect.set_options(timeout=15_000)


@pytest.fixture(scope="package")  # its loop runs in this thread: none of another test could meanwhile
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    need("chromium")
    need("libatomic1")  # of Playwright's driver
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def _served(folder: Path, *words: str) -> Iterator[Site]:
    port = free_port()
    log = folder / "log"
    command = [sys.executable, "-m", "tests.serving.page.fake", str(port), *words]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, cwd=_ROOT, env=_ENVIRONMENT) as process,
    ):
        try:
            site = Site(f"http://127.0.0.1:{port}", log)
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{site.address}/asks", timeout=5).read()
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
            yield site
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a service without keys."""
    yield from _served(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def locked_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a service with an admin's key."""
    yield from _served(tmp_path_factory.mktemp("locked"), "locked")


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What tabs share, so that files are loaded once."""
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; what goes wrong in its scripts fails the test."""
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield tab
    tab.close()
    assert wrong == []


@pytest.fixture
def opened(site: Site, page: Page) -> Callable[[str], Page]:
    """Open a section in the tab."""

    def open_(section: str = "") -> Page:
        page.goto(f"{site.address}/ui/{section}")
        page.locator(".section h1").wait_for()
        return page

    return open_


_ROOT = Path(__file__).parents[3]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])}
_ENVIRONMENT.pop("PYTEST_CURRENT_TEST", None)
