"""Pictures of the service's page for the docs, from a real run on MovieLens 100K: ``python -m benchmarks.screenshots``.

A model of habits is fitted, two copies of it are served, some hundred lists are asked for and answered by clicks that
follow a rule, and each section is looked at in headless Chromium. Needs ``segue fetch ml-100k`` and Playwright.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright
from tests.faults.server import free_port

from segue.datasets.catalogue import movielens_100k
from segue.recommenders.patterns import PatternRecommender

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
LISTS = 300


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = PatternRecommender().fit(movielens_100k(), progress=False)
        for each in ("films-1", "films-2"):
            model.save(folder / each)
        address = f"http://127.0.0.1:{free_port()}"
        store = f"sqlite:///{folder}/films.db"
        command = [sys.executable, "-m", "segue", "serve", "films-1", "--store", "sqlite:///films.db", "--port"]
        environment = {**os.environ, "PYTHONPATH": str(IMAGES.parents[1] / "src")}
        with subprocess.Popen(
            [*command, address.rpartition(":")[2]], stderr=subprocess.DEVNULL, cwd=folder, env=environment
        ) as process:
            try:
                _wait(address)
                _register(store, folder / "films-2")
                _live(address)
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                    _pictures(browser, address)
                    browser.close()
            finally:
                process.terminate()


def _wait(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/readyz").read()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the service did not start")


def _register(store: str, path: Path) -> None:
    """A second model beside the first, each asked by half of the users."""
    from segue.serving.models.models import Models
    from segue.serving.store import Store

    opened = Store.open(store)
    models = Models(opened)
    models.add(path, role="active")
    opened.close()


def _live(address: str) -> None:
    """Lists are shown, and people click on what stands high, the more so in the second model's."""
    rng = np.random.default_rng(0)
    for number in range(LISTS):
        user = str(int(rng.integers(1, 944)))
        answer = _sent(f"{address}/v1/recommend/{user}?k=8")
        events = []
        for item in answer["items"]:
            about = {"user_id": user, "item_id": str(item["item_id"]), "recommendation_id": answer["recommendation_id"]}
            events.append({**about, "action": "impression"})
            if rng.random() < (0.16 if answer["model"] == "films-2" else 0.10) / item["rank"] ** 0.5:
                events.append({**about, "action": "click"})
                if rng.random() < 0.2:
                    events.append({**about, "action": "purchase"})
        _sent(f"{address}/v1/events", events)
        if number > LISTS - 60:
            time.sleep(0.2)


def _sent(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def _pictures(browser: Any, address: str) -> None:
    page = browser.new_context(viewport={"width": 1120, "height": 700}).new_page()
    page.set_default_timeout(60_000)

    def look(section: str, wanted: str) -> None:
        page.goto(f"{address}/ui/{section}")
        page.locator(wanted).first.wait_for()
        page.wait_for_timeout(1_500)

    look("live", "tbody tr")
    _keep(page, "live")
    look("?user=7", "ol.list li")
    page.get_by_role("button", name="click:").first.click()
    page.get_by_text("already knows it").wait_for()
    _keep(page, "try")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(300)
    page.evaluate("document.querySelector('section h2').scrollIntoView()")
    _keep(page, "try-narrow")
    page.set_viewport_size({"width": 1120, "height": 700})
    page.emulate_media(color_scheme="light")
    look("online", "table")
    _keep(page, "online")
    look("health", ".tile")
    _keep(page, "health")
    look("patterns", "button.main")
    page.get_by_role("button", name="Count now").click()
    page.get_by_role("heading", name="When in the week").wait_for()
    page.wait_for_timeout(500)
    _keep(page, "patterns")
    page.evaluate("[...document.querySelectorAll('h2')].at(-2).scrollIntoView()")
    _keep(page, "patterns-next")
    look("catalogue?item=50&text=star", "ol.list li")
    _keep(page, "catalogue")


def _keep(page: Page, name: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"service-{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.name}: {size / 1000:.0f} kB")
    if size > 150_000:
        raise SystemExit(f"{path.name} is larger than 150 kB")


if __name__ == "__main__":
    main()
