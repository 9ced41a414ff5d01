"""A person is forgotten everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import segue
from segue.serving.answers.questions import Question
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.page.service_source import ServiceSource
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig

USER = "u3"


@pytest.fixture
def service(ease: segue.EASE, tmp_path: Path) -> Service:
    ease.save(tmp_path / "shop")
    settings = ServiceConfig.grouped({"store": {"url": f"sqlite:///{tmp_path}/events.db"}})
    return build(tmp_path / "shop", settings)


def test_nothing_is_left_of_a_person(service: Service, tmp_path: Path) -> None:
    with TestClient(create_app(service), "http://localhost") as client:
        assert client.post("/v1/events", json={"user_id": USER, "item_id": "i4"}).status_code == 201
        before = client.get(f"/v1/recommend/{USER}").json()
        answer = client.delete(f"/v1/users/{USER}").json()
        after = client.get(f"/v1/recommend/{USER}").json()
        again = client.delete("/v1/users/nobody").json()
        other = client.get("/v1/recommend/u4").json()
    assert not before["cold"]
    assert (answer["removed"]["events"], answer["removed"]["served"], answer["artefacts"]) == (1, 1, 1)
    assert set(answer["traces"].values()) == {0}
    assert after["cold"]
    assert not other["cold"]
    assert (sum(again["removed"].values()), again["artefacts"]) == (0, 0)
    # The list of the last question about them is the only row; it came after the erasure.
    loaded = segue.load(tmp_path / "shop")
    assert not loaded.user_vocabulary.code_of(USER)
    assert loaded.user_vocabulary.code_of("u4")


def test_a_list_that_waits_does_not_bring_the_name_back(service: Service) -> None:
    with TestClient(create_app(service), "http://localhost") as client:
        for _ in range(5):
            client.get(f"/v1/recommend/{USER}")
            assert client.delete(f"/v1/users/{USER}").json()["removed"]["served"] == 1
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(service.answers.journal, "flush", lambda: None)
            client.get(f"/v1/recommend/{USER}")
            assert client.delete(f"/v1/users/{USER}").json()["removed"]["served"] == 0
        service.answers.journal.flush()  # a replica's journal goes to the store after the erasure
        service.writer.append_now([])
        assert service.store.traces(USER) == {"events": 0, "served": 0}


def test_a_question_that_is_under_way_leaves_no_list_behind(service: Service) -> None:
    with TestClient(create_app(service), "http://localhost") as client:
        question = Question(user_id=USER)
        client.delete(f"/v1/users/{USER}")
        service.answers.recommend(question)
        service.answers.journal.flush()
        service.writer.append_now([])
        assert service.store.traces(USER)["served"] == 0


def test_the_page_drift_and_online_mode_of_every_process_forget(service: Service, tmp_path: Path) -> None:
    settings = ServiceConfig.grouped({"store": {"url": f"sqlite:///{tmp_path}/events.db"}, "online": {"on": True}})
    replica = build(None, settings)
    source = ServiceSource(replica)
    replica.start()
    try:
        with TestClient(create_app(service), "http://localhost") as client:
            for user in (USER, "u4"):
                client.post("/v1/events", json={"user_id": user, "item_id": "i4"})
                replica.watch.drift.answered(replica.answers.recommend(Question(user_id=user)))
            until(lambda: len(source.feed(0, 9).events) == 2 and {USER, "u4"} <= replica.online.people())
            client.delete(f"/v1/users/{USER}")
            until(lambda: USER not in replica.online.people())
            until(lambda: [event.user_id for event in source.feed(0, 9).events] == ["u4"])
            assert not any(asked.user_id == USER for asked in list(replica.watch.drift._answers))
            until(lambda: USER not in source.users("u", 100))
            assert "u4" in source.users("u", 100)
    finally:
        replica.stop()


def test_many_who_are_erased_at_once_are_all_forgotten_and_the_artefact_stays_whole(
    service: Service, tmp_path: Path
) -> None:
    with TestClient(create_app(service), "http://localhost") as client, ThreadPoolExecutor(4) as threads:
        users = [f"u{n}" for n in range(4)]
        answers = list(threads.map(lambda user: client.delete(f"/v1/users/{user}"), users))
    assert [answer.status_code for answer in answers] == [200] * 4
    known = segue.load(tmp_path / "shop").user_vocabulary
    assert [user for user in users if known.code_of(user)] == []


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
