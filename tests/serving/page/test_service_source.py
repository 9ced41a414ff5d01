"""The page's questions put to a real service: its store, its models, its gate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import polars as pl
import pytest

import segue
from segue.errors import FieldUnreadable, MomentUnreadable
from segue.recommenders.patterns import PatternRecommender
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.guard.keys import Keys
from segue.serving.page.service_source import ServiceSource
from segue.serving.page.source import Ask
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig
from segue.serving.store.rows import Event

T = TypeVar("T")


@pytest.fixture(scope="module")
def artefact(log: pl.DataFrame, shop_items: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "shop"
    PatternRecommender().fit(segue.Dataset.from_frames(log, shop_items), progress=False).save(path)
    return path


@pytest.fixture
def service(artefact: Path, tmp_path: Path) -> Service:
    settings = ServiceConfig.read(None, [f'store.url="sqlite:///{tmp_path}/shop.db"'])
    return build(artefact, settings)


@pytest.fixture
def source(service: Service) -> Iterator[ServiceSource]:
    made = ServiceSource(service)
    service.start()
    yield made
    service.stop()


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: the browser's loop runs in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def until(true: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_list_is_the_services_own_with_reasons(source: ServiceSource) -> None:
    shown = source.recommend(Ask(user_id="u1", k=5))
    (other,) = [source.service.answers.recommend(source._question(Ask(user_id="u1", k=5)))]
    assert [each.item_id for each in shown.items] == [each.item_id for each in other.items]
    assert shown.model == "shop"
    assert shown.items[0].title.startswith("Film number")
    assert all(each.reasons for each in shown.items)
    assert shown.milliseconds > 0
    assert len(source.generate(Ask(user_id="u1"), 4).items) == 4


def test_feedback_is_history_in_the_next_question(source: ServiceSource) -> None:
    before = source.recommend(Ask(user_id="new", k=3))
    assert before.history_length == 0
    in_a_loop(source.feedback("new", before.items[0].item_id, "click", before.recommendation_id))
    assert source.recommend(Ask(user_id="new", k=3)).history_length == 1
    (past,) = source.history(Ask(user_id="new"), 10)
    assert past.title == before.items[0].title
    assert source.history(Ask(user_id="new", at="2001-01-01"), 10) == []
    until(lambda: source.feed(0, 10).events)
    feed = source.feed(0, 10)
    assert [(event.user_id, event.title) for event in feed.events] == [("new", before.items[0].title)]
    assert sum(feed.per_second) == 1
    assert source.feed(feed.seq, 10).events == []
    until(source.rates)
    assert [(row.model, row.position, row.clicks) for row in source.rates()] == [("shop", 1, 1)]
    assert "new" in source.users("ne", 5)


def test_the_feed_keeps_the_newest_and_says_how_many_it_leaves_out(source: ServiceSource) -> None:
    source.service.writer.append_now([Event(f"e{n}", "u1", "i1", n + 1) for n in range(50)])
    until(lambda: sum(source.feed(0, 10).per_second) == 50)
    feed = source.feed(0, 10)
    assert (len(feed.events), feed.left_out) == (10, 40)
    assert feed.seq == feed.events[-1].seq


def test_histories_are_read_by_id_or_title(source: ServiceSource) -> None:
    past = source.history(Ask(items=["i3", "film NUMBER 4", "nothing"]), 10)
    assert [each.item_id for each in past] == ["nothing", "i4", "i3"]
    shown = source.recommend(Ask(items=["i3", "film NUMBER 4", "nothing"]))
    assert (shown.history_length, shown.unknown_items) == (2, 1)
    shown = source.recommend(Ask(user_id="u1", exclude=["Film number 3"], categories=["drama"], k=40))
    assert "i3" not in [each.item_id for each in shown.items]
    with pytest.raises(MomentUnreadable):
        source.recommend(Ask(user_id="u1", at="soon"))


def test_choices_are_those_of_the_log_and_the_catalogue(source: ServiceSource) -> None:
    actions, categories = source.choices()
    assert set(actions) == {"view", "purchase"}
    assert categories == ["comedy", "crime", "drama", "new", "old"]
    assert source.feedback_actions() == ("click", "purchase")
    assert source.users("u5", 3) == [user for user in source.users("u5", 99) if user.startswith("u5")][:3]


def test_the_catalogue_is_searched_read_and_changed(source: ServiceSource) -> None:
    assert [item.item_id for item in source.search("number 41", 5)] == ["i41"]
    item = source.item("i41")
    assert item is not None
    assert item.attributes["categories"] == ["Crime", "New"]
    assert source.item("nothing") is None
    assert len(source.similar("i3", 4)) == 4
    source.put_item({"item_id": "i900", "title": "A new film", "categories": "Drama, New", "price": "4"})
    until(lambda: source.item("i900"))
    item = source.item("i900")
    assert item is not None
    assert (item.attributes["categories"], item.attributes["price"]) == (["Drama", "New"], 4.0)
    for row in ({"item_id": "i901", "price": "dear"}, {"item_id": ""}):
        with pytest.raises(FieldUnreadable):
            source.put_item(row)


def test_health_tells_figures_models_and_alerts(source: ServiceSource) -> None:
    source.service.watch.alerts.raise_alert("update_failed", "no disk")
    health = source.health()
    assert (health.ready, health.can_roll_back) == (True, False)
    assert {"p50", "p99", "waiting", "memory", "behind"} <= {name for name, *_ in health.tiles}
    assert {"Store", "Requests", "Drift", "Updates"} == set(health.groups)
    assert [(model.name, model.role) for model in health.models] == [("shop", "active")]
    assert [(alert.name, alert.detail) for alert in health.alerts] == [("update_failed", "no disk")]
    source.service.draining = True
    assert not source.health().ready


def test_models_are_activated_and_rolled_back(source: ServiceSource, artefact: Path) -> None:
    source.service.models.add(artefact, "second")
    source.activate("second")
    until(lambda: source.recommend(Ask(user_id="u1")).model == "second")
    assert source.health().can_roll_back
    assert source.roll_back() == "shop"
    until(lambda: source.recommend(Ask(user_id="u1")).model == "shop")


def test_patterns_are_counted_over_the_log_and_the_store(source: ServiceSource, log: pl.DataFrame) -> None:
    now = 1_700_000_000_000_000
    source.service.writer.append_now(
        [Event(f"{user}-{n}", f"s{user}", f"i{n}", now + n * 1_000_000) for user in range(90) for n in (1, 2)]
    )
    source.service.writer.append_now([Event(f"shown-{n}", "u1", "i7", now + n, "impression") for n in range(40)])
    steps: list[float] = []
    found = source.patterns(lambda done, what: steps.append(done))
    assert found.about == f"{log.height + 180:,} events of 150 users."
    assert tuple(found.paths[0][0]) == ("Film number 1", "Film number 2")
    assert found.paths[0][1] >= 90
    assert len(found.week) == 7
    assert sum(map(sum, found.week)) > 90
    assert found.names[0] in ("Film number 1", "Film number 2")
    assert steps == sorted(steps)


def test_keys_of_admins_open_the_page_and_no_others(source: ServiceSource) -> None:
    assert not source.locked()
    keys: Keys = source.service.keys
    admin, other = keys.create(["admin"]), keys.create(["recommend"])
    assert source.locked()
    key_id = source.admitted(admin)
    assert key_id is not None
    assert source.admitted(other) is None
    assert source.still_admitted(key_id)
    keys.revoke(key_id)
    assert not source.still_admitted(key_id)


def test_the_page_is_part_of_the_application_unless_it_is_switched_off(service: Service) -> None:
    def status(path: str) -> int:
        async def ask() -> int:
            transport = httpx.ASGITransport(create_app(service), client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return (await client.get(path)).status_code

        return in_a_loop(ask())

    assert status("/ui") == 307
    service.settings = service.settings.model_copy(
        update={"page": service.settings.page.model_copy(update={"on": False})}
    )
    assert status("/ui") == 404
    service.store.close()
