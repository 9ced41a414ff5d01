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
from segue.serving.store import Event

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


def test_a_damaged_artefact_fails_alone_and_a_retry_finishes_the_erasure(
    service: Service, popular: segue.Popular, tmp_path: Path
) -> None:
    popular.save(tmp_path / "other")
    service.models.add(tmp_path / "other")
    file = next((tmp_path / "other").glob("user_ids.*"))
    whole = file.read_bytes()
    with TestClient(create_app(service), "http://localhost") as client:
        client.post("/v1/events", json={"user_id": USER, "item_id": "i4"})
        file.write_bytes(whole[:-1])
        first = client.delete(f"/v1/users/{USER}")
        file.write_bytes(whole)
        second = client.delete(f"/v1/users/{USER}")
    outcomes = {each["artefact"]: each for each in first.json()["erasure"]["outcomes"]}
    assert (first.status_code, first.json()["error"]["code"]) == (500, "V105")
    assert outcomes["shop"]["state"] == "erased"
    assert outcomes["other"]["state"] == "failed"
    assert outcomes["other"]["reason"]["code"] == "A002"
    assert str(tmp_path) not in first.text
    assert not first.json()["erasure"]["complete"]
    assert {each["artefact"]: each["state"] for each in second.json()["outcomes"]} == {
        "other": "erased",
        "shop": "unknown",
    }
    assert (second.status_code, second.json()["complete"]) == (200, True)
    assert not segue.load(tmp_path / "other").user_vocabulary.code_of(USER)


def test_a_damaged_model_can_be_unregistered_and_then_erasures_are_complete(
    service: Service, popular: segue.Popular, tmp_path: Path
) -> None:
    popular.save(tmp_path / "other")
    service.models.add(tmp_path / "other")
    next((tmp_path / "other").glob("user_ids.*")).write_bytes(b"damage")
    with TestClient(create_app(service), "http://localhost") as client:
        assert client.delete(f"/v1/users/{USER}").status_code == 500
        listed = client.delete("/v1/models/other")
        assert [model["name"] for model in listed.json()["models"]] == ["shop"]
        assert client.delete(f"/v1/users/{USER}").json()["complete"]
        assert client.delete("/v1/models/other").json()["error"]["code"] == "V060"
        assert client.delete("/v1/models/shop").json()["error"]["code"] == "V068"


def test_events_that_arrive_during_an_erasure_are_erased_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    forget, late = service.models.forget, iter(range(3))

    def slow(user_id: str) -> object:
        for number in late:  # another process stores events after the rows were erased
            service.store.append([Event(f"late-{number}", user_id, "i4", 1_700_000_000_000_000)])
        return forget(user_id)

    monkeypatch.setattr(service.models, "forget", slow)
    with TestClient(create_app(service), "http://localhost") as client:
        answer = client.delete(f"/v1/users/{USER}")
    assert answer.status_code == 200
    assert answer.json()["removed"]["events"] == 3
    assert service.store.traces(USER)["events"] == 0


def test_a_single_pass_would_leave_traces(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.serving.erasing._PASSES", 0)
    test = test_events_that_arrive_during_an_erasure_are_erased_too
    with pytest.raises(AssertionError):
        test(service, monkeypatch)
    assert service.store.traces(USER)["events"] == 3


def test_an_erasure_that_cannot_keep_up_with_events_is_no_success(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase, numbers = service.store.erase, iter(range(1_000))

    def overtaken(user_id: str) -> dict[str, int]:
        removed = erase(user_id)
        service.store.append([Event(f"late-{next(numbers)}", user_id, "i4", 1_700_000_000_000_000)])
        return removed

    monkeypatch.setattr(service.store, "erase", overtaken)
    with TestClient(create_app(service), "http://localhost") as client:
        answer = client.delete(f"/v1/users/{USER}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "V105")
    assert answer.json()["erasure"]["traces"]["events"] == 1


def test_erasures_beside_a_stream_of_events_leave_no_trace_or_say_so(service: Service) -> None:
    with TestClient(create_app(service), "http://localhost") as client, ThreadPoolExecutor(4) as threads:

        def post(number: int) -> int:
            return client.post("/v1/events", json={"user_id": USER, "item_id": f"i{number % 40}"}).status_code

        posts = [threads.submit(post, number) for number in range(200)]
        answers = [client.delete(f"/v1/users/{USER}") for _ in range(10)]
        assert {each.result() for each in posts} == {201}
        last = client.delete(f"/v1/users/{USER}")
    for answer in answers:
        left = answer.json() if answer.status_code == 200 else answer.json()["erasure"]
        assert (answer.status_code == 200) == (not any(left["traces"].values()))
    assert last.status_code == 200


def test_a_model_that_is_removed_is_in_no_roll_back(service: Service, popular: segue.Popular, tmp_path: Path) -> None:
    for name in ("b", "c"):
        popular.save(tmp_path / name)
        service.models.add(tmp_path / name)
        service.models.activate(name)
    service.models.remove("b")
    assert service.models.registry.answered() == [["shop"]]
    assert service.models.roll_back() == ["shop"]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
